"""Towers at work: from a recording as it comes to a vector.

    model = ecgfm.load("runs/dbeta@1")
    model.embed(millivolts, fs=500, leads=["I", "II", "V1"])

The way from millivolts to the towers is that of training: the same frame, the same resampling, the same 16 bits.
"""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ecgfm.batch import Batch
from ecgfm.data import transforms
from ecgfm.data.given import recordings, several, windows
from ecgfm.data.record import LEADS, Signal
from ecgfm.data.storage import Folder
from ecgfm.data.tokens import TokenTable
from ecgfm.model import saved
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

    def embed(
        self, signal: np.ndarray | Sequence[np.ndarray], fs: float, leads: Sequence[str], tokens: bool = False
    ) -> Float32[np.ndarray, "*_"]:
        """The vector of a recording in millivolts, or of several, one below the other.

        `signal` is one recording [lead, time], several of one length [recording, lead, time], or a list of recordings
        of any lengths, all at `fs` samples per second. `leads` names their rows, in any order; a lead that was not
        recorded is left out. A recording is resampled to the frame's rate. One that is longer than the frame is seen
        through as few windows as cover it, and the windows' vectors are averaged. A pool that makes several vectors
        per recording gives them side by side or, with `tokens`, one below the other: [..., vector, channel].
        """
        given, names = recordings(signal, leads)
        if not fs > 0:
            raise ValueError(f"fs={fs:g}: it is the samples per second of what is given")
        if any(one.shape[1] * self.frame.rate / fs < PATCH for one in given):
            raise ValueError(f"at {fs:g} Hz there is a recording shorter than one patch, {PATCH / self.frame.rate:g} s")
        numbered = ((i, window) for i, one in enumerate(given) for window in windows(one, names, fs, self.frame))
        found: list[list[np.ndarray]] = [[] for _ in given]
        while part := list(islice(numbered, _AT_ONCE)):
            for (i, _), vectors in zip(part, self._pooled(self._framed([w for _, w in part])).cpu(), strict=True):
                found[i].append(vectors.numpy())
        vectors = np.stack([np.mean(one, axis=0) for one in found])
        vectors = vectors if tokens else vectors.reshape(len(vectors), -1)
        return vectors if several(signal) else vectors[0]

    def embed_batch(self, batch: Batch) -> Float[Tensor, "B D"]:
        """The vectors of a batch, with nothing hidden."""
        return self._pooled(batch).flatten(1)

    @torch.no_grad()
    def embed_reports(self, texts: Sequence[str]) -> Float[Tensor, "B D"]:
        """The text tower's vectors of reports, which are cut as in training."""
        tokenizer = self._tokenizer
        if tokenizer is None:
            raise ValueError("these towers were trained without words: they embed recordings only")
        table = TokenTable.build(texts, lambda some: tokenizer(some, verbose=False)["input_ids"], self.card.words)
        parts = np.split(np.arange(len(texts)), range(_AT_ONCE, len(texts), _AT_ONCE))
        return torch.cat([self._seen(_read(*table.lookup(part))).embed(TextView()) for part in parts])

    @torch.no_grad()
    def _pooled(self, batch: Batch) -> Float32[Tensor, "B K D"]:
        vectors = self._seen(batch).embed(EcgView(), self.pool).float()
        return vectors.reshape(len(batch), -1, vectors.shape[-1])

    def _seen(self, batch: Batch) -> Encoded:
        return Encoded(self.towers, batch.to(self.device), seed=0)

    def _framed(self, some: Sequence[Signal]) -> Batch:
        """Windows as they come from shards."""
        signal = np.zeros((len(some), len(LEADS), self.frame.samples), np.int16)
        fitted = [transforms.fit(window, self.frame, 0.0, out) for window, out in zip(some, signal, strict=True)]
        scale, offset, leads, length = (np.array(column) for column in zip(*fitted, strict=True))
        none = np.zeros((len(some), 0), np.int32)
        return _batch(signal, scale, offset, leads, length.astype(np.int32), none, none.sum(1, dtype=np.int32))


def _read(words: np.ndarray, count: np.ndarray) -> Batch:
    """Reports without recordings."""
    empty = np.zeros((len(words), len(LEADS)), np.float32)
    signal, length = np.zeros((*empty.shape, 0), np.int16), np.zeros(len(words), np.int32)
    return _batch(signal, empty, empty, empty > 0, length, words, count)


def _batch(*columns: np.ndarray) -> Batch:
    """Rows that stand for themselves: each a record, a subject and a report of its own."""
    signal, scale, offset, leads, length, words, word_count = map(torch.from_numpy, columns)
    number = torch.arange(len(signal))
    return Batch(number, number, number, signal, scale, offset, leads, length, words, word_count)


def load(path: str, device: str = "auto") -> Embedder:
    """The towers of a run, or of a folder that they were moved to: a path or an object-store URI."""
    return Embedder(saved.read(Folder(path)), device)
