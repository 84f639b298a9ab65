"""CroSSL: cross-modal learning by masking of latents (Deldari et al., WSDM 2024, 2307.16847). No report, no negative.

Every modality is encoded alone and seen whole. Then two draws hide parts of what the encoders give, one aggregator
turns the rest of each draw into a vector, and VICReg makes the two vectors alike:

    invariance     the two views of a record are the same
    variance       no channel collapses: the mean of both views
    covariance     no two channels tell the same: the sum of both views, as in VICReg's own code

What is hidden is a cell, one modality in one stretch of time (model/aggregate.py), and hidden is missing: the
aggregator meets in training what a record without those leads shows it. One cell always stays.

    spatial     whole modalities
    temporal    stretches of time, the same in all modalities: no modality is ever missing
    random      cells, each on its own

Modalities are groups of leads (`groups`) and channels of another kind (`kinds`). The paper has an encoder per modality.
Channels of another kind, which have another rate and nothing in common with a lead, have one here. Groups of leads have
one each with `own`, and the ECG tower then learns nothing; by default they share that tower, in a pass each, since the
towers are to be those of the other methods. Its first map has weights of its own for each lead, so what is shared
begins after it. Of the regions, limb and augmented leads are two combinations of the same two signals: either can be
made from the other.

Of the paper's code (its tables cannot be had): random there hides single numbers of one vector per modality, and
temporal does nothing, as its mask has a shape that meets no latent; all latents may be hidden at once (at keep 0.5 and
three modalities in one view of eight); weights are 10, 10, 100 over batches of 8 with 32 channels, and keep is 0.9, at
which over half of all pairs of views of three modalities are equal and teach nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ecgfm.losses.variance import covariance, invariance, variance
from ecgfm.model.aggregate import Aggregate, Groups
from ecgfm.model.encoded import Encoded
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView

TERMS = ("invariance", "variance", "covariance")
SPREADING = ("variance",)
POOL = "crossl"
Masking = Literal["spatial", "temporal", "random"]


@dataclass(frozen=True)
class Config:
    terms: Mapping[str, float] = field(default_factory=lambda: dict(zip(TERMS, (25.0, 25.0, 1.0), strict=True)))
    groups: Groups = "regions"
    kinds: tuple[str, ...] = ()  # of channels beside the ECG
    own: bool = False  # an encoder for each group of leads
    masking: Masking = "spatial"
    keep: float = 0.6  # chance of each unit to stay; 1 hides nothing, and the invariance is then 0
    stretches: int = 10
    depth: int = 2  # of the aggregator

    def __post_init__(self):
        if set(self.terms) - set(TERMS) or not self.terms:
            raise ValueError(f"terms {sorted(self.terms)}: CroSSL has {', '.join(TERMS)}, and needs at least one")
        if not 0 <= self.keep <= 1:
            raise ValueError(f"keep={self.keep}: a chance lies between 0 and 1")
        _ = self.pools  # says what is wrong with the modalities

    @property
    def columns(self) -> tuple[str, ...]:
        return self.kinds

    @property
    def pools(self) -> dict[str, Aggregate]:
        return {POOL: Aggregate(self.groups, self.kinds, self.stretches, self.depth, self.own)}

    def build(self, towers: Towers) -> "Objective":
        return Objective(self)


class Objective(nn.Module):
    """Without weights: the aggregator is a pool of the towers, as downstream needs it."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config

    def forward(self, seen: Encoded) -> dict[str, Tensor]:
        cells, pool = seen.cells(EcgView(), self.config.pools[POOL]), seen.towers.pools[POOL]
        x, y = (pool(cells.tokens, mask) for mask in self.views(cells.mask, seen))
        terms = {
            "invariance": lambda: invariance(x, y),
            "variance": lambda: (variance(x) + variance(y)) / 2,
            "covariance": lambda: covariance(x) + covariance(y),
        }
        return {name: terms[name]() for name in self.config.terms}

    def views(self, there: Bool[Tensor, "B N"], seen: Encoded) -> list[Bool[Tensor, "B N"]]:
        """The cells that two draws leave of those that are there."""
        c = self.config
        grid = there.unflatten(1, (-1, c.stretches))
        drawn = (seen.uniform(f"crossl/{side}", there.shape[1]).view(grid.shape) for side in (0, 1))
        return [survivors(grid, numbers, c.masking, c.keep).flatten(1) for numbers in drawn]


def survivors(
    there: Bool[Tensor, "B M S"], drawn: Float[Tensor, "B M S"], masking: Masking, keep: float
) -> Bool[Tensor, "B M S"]:
    """The cells that stay: those whose unit drew less than `keep`, and the unit that drew least of those there are."""
    units = there
    for line in {"spatial": (2,), "temporal": (1,), "random": ()}[masking]:  # what goes together is a line of cells
        units, drawn = units.any(line, keepdim=True), drawn.narrow(line, 0, 1)
    drawn = torch.where(units, drawn, 2.0)
    return there & ((drawn < keep) | (drawn == drawn.amin((1, 2), keepdim=True)))
