"""Barlow Twins (Zbontar et al. 2021, arXiv 2103.03230) between two draws of hidden leads.

Of the cross-correlation of two views' projections over the world batch, the diagonal is drawn to one (`invariance`)
and the rest to nought (`redundancy`). Both are divided by the width of the projection, which the paper does not do.
The projector has layer norms in the place of batch norms: a batch norm would see its own rank alone.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ecgfm.losses.gather import summed, total
from ecgfm.model.encoded import Encoded
from ecgfm.model.pool import Project
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView


@dataclass(frozen=True)
class Config:
    terms: dict[str, float] = field(default_factory=lambda: {"invariance": 1.0, "redundancy": 0.005})
    hidden: float = 0.5  # chance of each lead to be hidden in a view
    width: int = 256  # of the projection
    columns: tuple[str, ...] = ()
    pools: dict[str, Project] = field(default_factory=lambda: {"barlow": Project()})

    def build(self, towers: Towers) -> "Objective":
        return Objective(self, towers.config.width)


class Objective(nn.Module):
    def __init__(self, config: Config, width: int):
        super().__init__()
        self.config = config
        self.project = nn.Sequential(
            nn.Linear(width, config.width), nn.LayerNorm(config.width), nn.ReLU(), nn.Linear(config.width, config.width)
        )

    def forward(self, seen: Encoded) -> dict[str, Tensor]:
        views = (EcgView(leads=self.config.hidden, draw=draw) for draw in (1, 2))
        first, second = (self.project(seen.embed(view, "barlow")) for view in views)
        with torch.autocast(first.device.type, enabled=False):
            count = total(torch.tensor(float(len(first)), device=first.device))
            first, second = (_standard(z.float(), count) for z in (first, second))
            correlation = summed(first.T @ second) / count
            diagonal = correlation.diagonal()
            rest = correlation.square().sum() - diagonal.square().sum()
            return {
                "invariance": (1 - diagonal).square().mean(),
                "redundancy": rest / len(diagonal),
            }


def _standard(z: Tensor, count: Tensor) -> Tensor:
    """Over the world batch, each column with mean nought and deviation one."""
    centred = z - summed(z.sum(0)) / count
    return centred / (summed(centred.square().sum(0)) / count + 1e-5).sqrt()
