"""Towers at work: from a recording as it comes to a vector.

    model = ecgfm.load("runs/dbeta@1")
    model.embed(millivolts, fs=500, leads=["I", "II", "V1"])

The way from millivolts to the towers is that of training: the same frame, the same resampling, the same 16 bits.
"""

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ecgfm.batch import Batch, Channels
from ecgfm.data import reports, transforms
from ecgfm.data.given import Given, Others, Recording, recordings
from ecgfm.data.record import LEADS
from ecgfm.data.storage import Folder
from ecgfm.data.tokens import TokenTable
from ecgfm.data.transforms import Fitted
from ecgfm.model import saved
from ecgfm.model.aggregate import Aggregator
from ecgfm.model.encoded import Encoded
from ecgfm.model.patches import PATCH
from ecgfm.model.views import EcgView, TextView

_AT_ONCE = 64  # windows, or reports, in one pass


class Embedder:
    """Towers and what is needed to feed them. Vectors are as the towers give them, not of unit length."""

    def __init__(self, held: saved.Saved, device: str = "auto"):
        self.device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        self.towers, self._tokenizer = held.towers.to(self.device), held.tokenizer
        self.card, self.frame, self.pool = held.card, held.card.frame, held.card.pool

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of channels that are read beside the ECG."""
        pool = self.towers.pools[self.pool]
        return pool.config.kinds if isinstance(pool, Aggregator) else ()

    def embed(
        self, signal: Given, fs: float, leads: Sequence[str], tokens: bool = False, others: Others | None = None
    ) -> Float32[np.ndarray, "*_"]:
        """The vector of a recording in millivolts, or of several, one below the other.

        `signal` is one recording [lead, time], several of one length [recording, lead, time], or a list of recordings
        of any lengths, all at `fs` samples per second. `leads` names their rows, in any order; a lead that was not
        recorded is left out. A recording is resampled to the frame's rate. One that is longer than the frame is seen
        through as few windows as cover it, and the windows' vectors are averaged. A pool that makes several vectors
        per recording gives them side by side or, with `tokens`, one below the other: [..., vector, channel].

        `others`, for towers that read more than the ECG: {"ppg": (wave, samples per second)}, in the unit of the
        corpus; a wave [time] or [channel, time], or a list with one for each recording, None where it is missing. It
        begins where the ECG begins. `signal` and `leads` may then be empty: the wave alone is embedded.

        Missing leads are met in training by methods that hide some (`dbeta`, `crossl`, `together`). What `merit`,
        `dense` and `fingerprint` have learnt of fewer leads is what twelve taught them.
        """
        if unknown := {*(others or ())} - {*self.kinds}:
            known = ", ".join(self.kinds) or "nothing"
            raise ValueError(f"others: these towers do not read {min(unknown)!r}; beside the ECG they read {known}")
        given, several = recordings(signal, fs, leads, others or {})
        self._check(given)
        numbered = ((i, w) for i, one in enumerate(given) for w in transforms.windows(*one, self.frame))
        found: list[list[np.ndarray]] = [[] for _ in given]
        while part := list(islice(numbered, _AT_ONCE)):
            for (i, _), vectors in zip(part, self._pooled(_framed([w for _, w in part])).cpu(), strict=True):
                found[i].append(vectors.numpy())
        vectors = np.stack([np.mean(one, axis=0) for one in found])
        vectors = vectors if tokens else vectors.reshape(len(vectors), -1)
        return vectors if several else vectors[0]

    def _check(self, given: Sequence[Recording]) -> None:
        for one in (signal for ecg, others in given for signal in (ecg, *others.values()) if signal):
            rate = self.frame.rate if one.kind == "ecg" else self.frame.of(one.kind).rate
            if one.samples.shape[1] * rate / one.rate < PATCH:
                raise ValueError(
                    f"at {one.rate:g} Hz there is a recording shorter than one patch, {PATCH / rate:g} s ({one.kind})"
                )

    def embed_batch(self, batch: Batch) -> Float[Tensor, "B D"]:
        """The vectors of a batch, with nothing hidden."""
        return self._pooled(batch).flatten(1)

    @torch.no_grad()
    def embed_reports(self, texts: Sequence[str]) -> Float[Tensor, "B D"]:
        """The text tower's vectors of reports, which are cleaned and cut as in training."""
        tokenizer = self._tokenizer
        if tokenizer is None:
            raise ValueError("these towers were trained without words: they embed recordings only")
        if isinstance(texts, str) or not len(texts):
            raise ValueError(
                "there is no report to embed" if len(texts) == 0 else "give a list of reports, also of one"
            )
        cleaned = [text or "" for text in reports.clean(pa.array(texts, pa.string())).to_pylist()]
        table = TokenTable.build(cleaned, lambda some: tokenizer(some, verbose=False)["input_ids"], self.card.words)
        parts = np.split(np.arange(len(texts)), range(_AT_ONCE, len(texts), _AT_ONCE))
        return torch.cat([self._seen(_read(*table.lookup(part))).embed(TextView()) for part in parts])

    @torch.no_grad()
    def _pooled(self, batch: Batch) -> Float32[Tensor, "B K D"]:
        vectors = self._seen(batch).embed(EcgView(), self.pool).float()
        return vectors.reshape(len(batch), -1, vectors.shape[-1])

    def _seen(self, batch: Batch) -> Encoded:
        return Encoded(self.towers, batch.to(self.device), seed=0)


def _framed(windows: Sequence[tuple[Fitted, dict[str, Fitted]]]) -> Batch:
    """As they come from shards."""
    ecg, others = zip(*windows, strict=True)
    none = torch.zeros(len(windows), 0, dtype=torch.int32)
    beside = {kind: transforms.stacked([seen[kind] for seen in others]) for kind in others[0]}
    return _batch(transforms.stacked(ecg), none, none.sum(1, dtype=torch.int32), beside)


def _read(words: np.ndarray, count: np.ndarray) -> Batch:
    """Reports without recordings."""
    empty = torch.zeros(len(words), len(LEADS))
    signal = torch.zeros(*empty.shape, 0, dtype=torch.int16)
    ecg = Channels(signal, empty, empty, empty > 0, empty[:, 0].int())
    return _batch(ecg, torch.from_numpy(words), torch.from_numpy(count), {})


def _batch(ecg: Channels, words: Tensor, word_count: Tensor, others: Mapping[str, Channels]) -> Batch:
    """Rows that stand for themselves: each a record, a subject and a report of its own."""
    number = torch.arange(len(words))
    return Batch(number, number, number, *ecg, words, word_count, others=others)


def load(path: str, device: str = "auto") -> Embedder:
    """The towers of a run, or of a folder that they were moved to: a path or an object-store URI."""
    return Embedder(saved.read(Folder(path)), device)
