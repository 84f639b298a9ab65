"""One batch seen through the towers. Each view is computed once, by whoever asks first; the others share it."""

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ecgfm import draw
from ecgfm.batch import Batch
from ecgfm.data.record import LEADS
from ecgfm.model.aggregate import GROUPS, Aggregate, Aggregator, Cells, called, cells
from ecgfm.model.ecg import EcgFeatures, EcgTower
from ecgfm.model.patches import PATCH, Signal, read
from ecgfm.model.pool import Bottleneck
from ecgfm.model.text import TextTable, TextTower
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView, Masked, TextView, kept_patches, mask_words, read_reports, seen_leads


class TextFeatures(NamedTuple):
    """One token per word, and whose text it is."""

    tokens: Float[Tensor, "B W E"]
    mask: Bool[Tensor, "B W"]
    report: Int64[Tensor, "B"]  # the number of the report that was read, -1 for none
    subject: Int64[Tensor, "B"]  # of whom the report is; -1 for a far one
    swapped: Bool[Tensor, "B"]  # rows that hold a far report
    masked: Masked


class Encoded:
    """What an objective is given. `noise` turns dropout on, where the towers have any."""

    def __init__(self, towers: Towers, batch: Batch, seed: int, noise: bool = False):
        self.towers, self.batch, self.seed, self.noise = towers, batch, seed, noise
        self._ecg: dict[tuple[EcgView, str], EcgFeatures] = {}
        self._others: dict[str, tuple[EcgFeatures, Signal]] = {}
        self._text: dict[TextView, TextFeatures] = {}
        self._pooled: dict[tuple[EcgView | TextView, str], Tensor] = {}

    @property
    def passes(self) -> int:
        """How often a tower has run."""
        return len(self._ecg) + len(self._others) + len(self._text)

    @cached_property
    def signal(self) -> Signal:
        return read(self.batch)

    def ecg(self, view: EcgView = EcgView(), encoder: str = "") -> EcgFeatures:  # noqa: B008  (a view is a value)
        """By the ECG tower, or by the encoder that a group of leads has of its own (Aggregate.encoders)."""
        if (view, encoder) not in self._ecg:
            tower = self.towers.groups[encoder] if encoder else self._ecg_tower
            leads = seen_leads(view, self.signal, self.batch.record, self.seed)
            kept = kept_patches(view, self.signal, self.batch.record, self.seed)
            self._ecg[view, encoder] = tower(self.signal, leads, kept, self.key(str(view)))
        return self._ecg[view, encoder]

    @property
    def _ecg_tower(self) -> EcgTower:
        if self.towers.ecg is None:
            raise ValueError("these towers have an encoder for each group of leads and none of all: give them a pool")
        return self.towers.ecg

    def text(self, view: TextView = TextView()) -> TextFeatures:  # noqa: B008
        if view not in self._text:
            self._text[view] = self._read(view)
        return self._text[view]

    def other(self, kind: str) -> tuple[EcgFeatures, Signal]:
        """Channels of another kind, which are always seen whole."""
        if kind not in self._others:
            signal = read(self.batch.others[kind])
            kept = kept_patches(EcgView(), signal, self.batch.record, self.seed)
            self._others[kind] = self.towers.others[kind](signal, signal.leads, kept, self.key(kind)), signal
        return self._others[kind]

    def cells(self, view: EcgView, over: Aggregate) -> Cells:
        """What an Aggregator reads: of each group the leads that the view shows, of each kind what the batch has."""
        parts: list[Cells | None] = []
        signals = {kind: self.other(kind)[1] for kind in over.kinds if kind in self.batch.others}
        longest = torch.stack([_share(signal) for signal in (self.signal, *signals.values())]).amax(0)
        for group in GROUPS[over.groups]:
            shown = tuple(lead for lead in group if not view.groups or lead in view.groups)
            part, encoder = replace(view, groups=() if shown == LEADS else shown), called(group) if over.own else ""
            seen = self.ecg(part, encoder) if shown else None
            parts.append(cells(seen, _patches(self.signal, longest), over.stretches) if seen else None)
        for kind in over.kinds:
            own = signals.get(kind)
            parts.append(cells(self.other(kind)[0], _patches(own, longest), over.stretches) if own else None)
        size = (len(self.batch), over.stretches)
        mask = self.signal.leads.new_zeros(size)
        none = Cells(self.signal.millivolts.new_zeros(*size, self.towers.config.width), mask)
        return Cells(*(torch.cat(columns, dim=1) for columns in zip(*(part or none for part in parts), strict=True)))

    def embed(self, view: EcgView | TextView, pool: str = "summary") -> Float[Tensor, "B *_"]:
        """What a pool makes of a view; the text tower has one pool."""
        if (view, pool) not in self._pooled:
            if isinstance(view, TextView):
                seen, over = self.text(view), self._text_tower.pool
                self._pooled[view, pool] = over(seen.tokens, seen.mask)
            else:
                self._pooled[view, pool] = self._pool(view, pool)
        return self._pooled[view, pool]

    def _pool(self, view: EcgView, pool: str) -> Float[Tensor, "B *_"]:
        if pool not in self.towers.pools:
            built = ", ".join(self.towers.pools) or "none"
            raise ValueError(f"no pool {pool!r} was built: there are {built}; a method's `pools` names what it wants")
        over = self.towers.pools[pool]
        seen = self.cells(view, over.config) if isinstance(over, Aggregator) else self.ecg(view)
        if isinstance(over, Bottleneck):
            return over(seen.tokens, seen.mask, self.time(view))
        return over(seen.tokens, seen.mask)

    def time(self, view: EcgView) -> Float[Tensor, "B K"]:
        """The middle of each kept patch, as a share of the recording."""
        return (self.ecg(view).kept + 0.5) / self.signal.counts.clamp(min=1)[:, None]

    def uniform(self, purpose: str, count: int) -> Float[Tensor, "B {count}"]:
        """Random numbers of a method's own, per record."""
        return draw.uniform(self.seed, purpose, self.batch.record, count)

    def key(self, purpose: str) -> Int64[Tensor, "B"] | None:
        """What dropout's masks follow from, or None where there is to be none."""
        return draw.keys(self.seed, f"dropout/{purpose}", self.batch.record) if self.noise else None

    @property
    def _text_tower(self) -> TextTower | TextTable:
        if self.towers.text is None:
            raise ValueError("no text tower was built: the objective's columns must name 'text'")
        return self.towers.text

    def _read(self, view: TextView) -> TextFeatures:
        tower, batch = self._text_tower, self.batch
        if view.words and not tower.vocabulary.size:
            raise ValueError("words can be masked only where the text tower reads words, not in a table of embeddings")
        reading, swapped = read_reports(view, batch, self.seed, tower.vocabulary.pad)
        reading, masked = mask_words(view, reading, batch.record, self.seed, tower.vocabulary)
        tokens, mask = tower(reading, self.key(str(view)))
        subject = torch.where(swapped, -1, batch.subject)
        return TextFeatures(tokens, mask, reading.report, subject, swapped, masked)


def _share(signal: Signal) -> Float[Tensor, "B"]:
    """Of the frame, that a recording fills: in the same seconds the same, whatever the samples per second."""
    return (signal.counts * signal.leads.any(1)).double() / (signal.millivolts.shape[2] // PATCH)


def _patches(signal: Signal, share: Float[Tensor, "B"]) -> Int64[Tensor, "B"]:
    """As many as a recording of that share has at its rate."""
    return (share * (signal.millivolts.shape[2] // PATCH)).round().long()
