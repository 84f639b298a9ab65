"""One vector from whichever modalities of a recording are there.

A modality is a group of leads, or the channels of another kind. Its tokens are averaged over equal stretches of the
recording, which gives a cell per modality and stretch. What is missing has no cell: attention never looks there, so a
lead that was not recorded, a pulse wave that a record lacks, and what a method hides are one and the same thing, and
none of them is filled in beforehand.

Groups of leads share the ECG tower, one pass each: its first map has weights of its own for every lead, and it is told
which leads are missing, so it knows what it looks at, and every method trains the same tower. With `own` each group has
an encoder of its own, of the same build, as channels of another kind have in any case.

This is not in pool.py because it pools several sequences and cuts them to cells first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from ecgfm.data.record import LEADS, OTHERS
from ecgfm.model.ecg import EcgFeatures
from ecgfm.model.transformer import Block, initialise, sines

Groups = Literal["leads", "regions", "whole"]
GROUPS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "leads": tuple((lead,) for lead in LEADS),
    "regions": (LEADS[:3], LEADS[3:6], LEADS[6:]),  # limb, augmented, precordial
    "whole": (LEADS,),
}


def called(group: tuple[str, ...]) -> str:
    return "+".join(group)


@dataclass(frozen=True)
class Aggregate:
    """A pool over modalities: the groups of leads, then the kinds of channels beside the ECG."""

    groups: Groups = "regions"
    kinds: tuple[str, ...] = ()
    stretches: int = 10  # of a recording, whatever its length: a second each of 10 s
    depth: int = 2
    own: bool = False  # an encoder for each group of leads

    def __post_init__(self):
        if unknown := set(self.kinds) - OTHERS.keys():
            raise ValueError(f"kinds {sorted(unknown)}: beside the ECG a run can read {', '.join(OTHERS)}")
        if self.stretches < 1:
            raise ValueError(f"stretches={self.stretches}: a recording has at least one")

    @property
    def modalities(self) -> tuple[str, ...]:
        return (*map(called, GROUPS[self.groups]), *self.kinds)

    @property
    def encoders(self) -> tuple[str, ...]:
        """Of groups of leads, beside the ECG tower."""
        return tuple(map(called, GROUPS[self.groups])) if self.own else ()

    def build(self, tokens: int, width: int) -> "Aggregator":
        return Aggregator(self, tokens, width)


class Cells(NamedTuple):
    """Modality by modality, and in each its stretches in the order of time."""

    tokens: Float[Tensor, "B N E"]
    mask: Bool[Tensor, "B N"]  # the cells that hold signal


class Aggregator(nn.Module):
    """A transformer over the cells, whose mean goes through a linear map: not bounded, as its spread is trained.

    The mean, and not a token that reads, and cells normalised before they are told their places: else the vectors of
    all records are nearly one at the start, where the slope of the variance is smallest.
    """

    def __init__(self, config: Aggregate, tokens: int, width: int):
        super().__init__()
        self.config = config
        self.map = nn.Linear(tokens, width)
        self.modality = nn.Parameter(torch.empty(len(config.modalities), width).normal_(std=0.02))
        self.always = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.before = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, norm_first=True) for _ in range(config.depth))
        self.after = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        for part in (self.map, self.blocks, self.out):
            initialise(part)

    def forward(self, tokens: Float[Tensor, "B N E"], mask: Bool[Tensor, "B N"]) -> Float[Tensor, "B D"]:
        x = self.before(self.map(torch.where(mask[:, :, None], tokens, 0)))
        place = self.modality[:, None] + sines(self.config.stretches, x.shape[2], x.device)
        x = torch.cat((self.always.to(x.dtype).expand(len(x), 1, -1), x + place.flatten(0, 1)), dim=1)
        mask = functional.pad(mask, (1, 0), value=True)  # a record may have no cell, and attention needs a place
        for block in self.blocks:
            x = block(x, mask)
        weight = mask / mask.sum(1, keepdim=True)
        return self.out(torch.einsum("bnd,bn->bd", self.after(x), weight.to(x.dtype)))


def cells(seen: EcgFeatures, counts: Int[Tensor, "B"], stretches: int) -> Cells:
    """One modality's: the mean token of each stretch. A record that lacks the modality has none.

    `counts` are the patches that it has in the whole recording, or would have, where it ended before the others.
    """
    there = seen.mask[:, 1:] & seen.leads.any(1, keepdim=True)
    place = (seen.kept * stretches // counts.clamp(min=1)[:, None]).clamp(max=stretches - 1)
    share = functional.one_hot(place, stretches) * there[:, :, None]
    size = share.sum(1)
    tokens = torch.einsum("bke,bks->bse", seen.tokens[:, 1:], share.to(seen.tokens.dtype))
    return Cells(tokens / size.clamp(min=1)[:, :, None], size > 0)
