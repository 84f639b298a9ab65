"""What a method looks at: a view is a value, and what it hides is a function of (seed, record).

Lead masking and patch dropping meet in one pass over the ECG; word masking and swapped reports in one pass over the
text. Two views with the same `draw` hide alike where their shares agree.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ecgfm import draw
from ecgfm.batch import Batch
from ecgfm.data.record import LEADS
from ecgfm.model.patches import Signal, first
from ecgfm.model.text import Reading, Vocabulary


@dataclass(frozen=True)
class EcgView:
    """The whole recording, less what is hidden."""

    leads: float = 0.0  # chance of each lead to be hidden; one always stays
    tokens: float = 0.0  # share of the patches that are dropped
    groups: tuple[str, ...] = ()  # the leads that alone are seen, by the names of LEADS; all when empty
    draw: int = 0  # two views that differ in nothing else are two draws

    def __post_init__(self):
        if unknown := set(self.groups) - set(LEADS):
            raise ValueError(f"a view of {', '.join(sorted(unknown))}: leads are {', '.join(LEADS)}")


@dataclass(frozen=True)
class TextView:
    """The report, less what is masked; or, in some rows, a far report."""

    words: float = 0.0  # share of the words that are masked
    far: float = 0.0  # chance of each row to get a far report in the place of its own
    draw: int = 0


class Masked(NamedTuple):
    """What a masked-word model has to find. Rows have a fixed number of places; not all are used."""

    place: Int64[Tensor, "B M"]  # in the row's words
    word: Int64[Tensor, "B M"]
    used: Bool[Tensor, "B M"]


def seen_leads(view: EcgView, signal: Signal, record: Int64[Tensor, "B"], seed: int) -> Bool[Tensor, "B L"]:
    """Which leads are left. Among those that are there, the one that drew highest is never hidden."""
    there = signal.leads
    if view.groups:
        chosen = [name in view.groups for name in LEADS]
        there = there & torch.tensor(chosen, device=there.device)
    drawn = torch.where(there, draw.uniform(seed, f"leads/{view.draw}", record, there.shape[1]), -1.0)
    return there & ((drawn >= view.leads) | (drawn == drawn.amax(1, keepdim=True)))


def kept_patches(view: EcgView, signal: Signal, record: Int64[Tensor, "B"], seed: int) -> Int64[Tensor, "B K"]:
    """The patches that stay, in the order of time: a fixed number per batch, and per row its share of its own.

    A row with fewer is filled up with N, one past the last patch.
    """
    valid = signal.valid()
    size = valid.shape[1]
    drawn = torch.where(valid, draw.uniform(seed, f"tokens/{view.draw}", record, size), 2.0)
    order = drawn.argsort(dim=1, stable=True)[:, : _share(size, 1 - view.tokens)]
    count = (signal.counts * (1 - view.tokens) + 1e-6).floor().clamp(min=1)
    count = torch.minimum(count, signal.counts)
    return torch.where(torch.arange(order.shape[1], device=order.device) < count[:, None], order, size).sort(1).values


def _share(size: int, share: float) -> int:
    return max(1, int(size * share + 1e-6))


def read_reports(view: TextView, batch: Batch, seed: int, pad: int) -> tuple[Reading, Bool[Tensor, "B"]]:
    """The reports' words, and which rows hold a far report: those that drew it and have one."""
    report, words, count = batch.report, batch.words, batch.word_count
    swapped = torch.zeros_like(report, dtype=torch.bool)
    if view.far:
        if batch.far_report is None or batch.far_words is None or batch.far_word_count is None:
            raise ValueError("a view asks for far reports and the batch has none: stream them beside the records")
        swapped = (draw.uniform(seed, f"far/{view.draw}", batch.record, 1)[:, 0] < view.far) & (batch.far_report >= 0)
        report = torch.where(swapped, batch.far_report, report)
        words = torch.where(swapped[:, None], batch.far_words, words)
        count = torch.where(swapped, batch.far_word_count, count)
    mask = first(count, words.shape[1])
    words = torch.where(mask, words, pad).long()
    return Reading(report, words, first(count.clamp(min=1), words.shape[1])), swapped


def mask_words(
    view: TextView, reading: Reading, record: Int64[Tensor, "B"], seed: int, vocabulary: Vocabulary
) -> tuple[Reading, Masked]:
    """A fixed number of words per batch, and per row its share of its own; never a special one.

    BERT's rule: of the chosen words, 80 % become the mask token, 10 % any word, 10 % stay as they are.
    """
    words = reading.words
    size, special = words.shape[1], torch.tensor(vocabulary.special, device=words.device)
    open_ = reading.mask & ~torch.isin(words, special) & (words != vocabulary.pad)
    chosen, kind, other = (_uniform(view, seed, what, record, size) for what in ("words", "kind", "other"))
    order = torch.where(open_, chosen, 2.0).argsort(dim=1, stable=True)[:, : _places(size, view.words)]
    total = open_.sum(1)
    count = torch.minimum((total * view.words + 0.5).floor().clamp(min=_places(1, view.words)), total)
    used = torch.arange(order.shape[1], device=order.device) < count[:, None]
    hidden = torch.zeros_like(open_).scatter(1, order, used)
    noise = torch.where(kind < 0.8, vocabulary.mask, torch.where(kind < 0.9, (other * vocabulary.size).long(), words))
    seen = reading._replace(words=torch.where(hidden, noise, words))
    return seen, Masked(order, words.gather(1, order), used)


def _places(size: int, share: float) -> int:
    return max(1, int(size * share + 0.5)) if share else 0


def _uniform(view: TextView, seed: int, what: str, record: Int64[Tensor, "B"], size: int) -> Float[Tensor, "B W"]:
    return draw.uniform(seed, f"{what}/{view.draw}", record, size)
