"""Towers and objectives, one loss: the single module that an engine wraps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ecgfm.batch import Batch
from ecgfm.data.record import OTHERS
from ecgfm.model.config import TowerConfig
from ecgfm.model.encoded import Encoded
from ecgfm.model.towers import Towers
from ecgfm.objectives import check
from ecgfm.run import Run


class Pretraining(nn.Module):
    """`objectives` are config objects by name, from whatever file they come (ecgfm/objectives/__init__.py).

    Of the towers, what no objective asks for is not built. `towers.config` then tells what was.
    """

    def __init__(self, towers: TowerConfig, objectives: Mapping[str, Any], pretrained: bool = True):
        super().__init__()
        self.towers = Towers(needed(towers, objectives), pretrained)
        self.columns = frozenset(column for config in objectives.values() for column in config.columns)
        self.objectives = nn.ModuleDict({name: config.build(self.towers) for name, config in objectives.items()})
        self.weights = {f"{name}/{term}": w for name, config in objectives.items() for term, w in config.terms.items()}

    @classmethod
    def of(cls, run: Run) -> "Pretraining":
        return cls(built(run), run.objectives)

    def forward(self, batch: Batch, seed: int) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        seen = Encoded(self.towers, batch, seed, noise=self.training)
        terms = {
            f"{name}/{term}": value
            for name, objective in self.objectives.items()
            for term, value in objective(seen).items()
        }
        if terms.keys() != self.weights.keys():
            raise ValueError(f"terms declared and produced differ: {sorted(terms.keys() ^ self.weights.keys())}")
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum(), terms

    def equation(self) -> str:
        """The run as an equation: loss = 1*dbeta/mlm + ..."""
        return "loss = " + " + ".join(f"{weight:g}*{name}" for name, weight in self.weights.items())

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameters that learn, for learning rates of their own: the ECG tower, the text encoder, what is new."""
        groups: dict[str, list[nn.Parameter]] = {"ecg": [], "text": [], "heads": []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups[_group(name)].append(parameter)
        return groups


def _group(name: str) -> str:
    if name.startswith(("towers.ecg.", "towers.groups.", "towers.others.", "towers.pools.")):
        return "ecg"
    return "text" if name.startswith("towers.text.model.") else "heads"


def needed(towers: TowerConfig, objectives: Mapping[str, Any]) -> TowerConfig:
    """The towers with the pools and the kinds of channels that the objectives want.

    Without a text encoder where none reads reports.
    """
    pools = dict(towers.pools)
    for name, config in objectives.items():
        check(name, config)
        for pool, value in config.pools.items():
            if pools.setdefault(pool, value) != value:
                raise ValueError(f"{name} wants a pool {pool!r} that another objective defines otherwise")
    columns = {column for config in objectives.values() for column in config.columns}
    others = tuple(sorted({*towers.others, *(columns & OTHERS.keys())}))
    return replace(towers, pools=pools, others=others, text=towers.text if "text" in columns else None)


def built(run: Run) -> TowerConfig:
    """The towers that a recipe builds, among whose pools must be the one that embeds."""
    config = needed(run.towers, run.objectives)
    if run.embed not in config.pools:
        there = f"there are {', '.join(config.pools)}" if config.pools else "there is none"
        raise ValueError(f"embed: the recipe names the pool {run.embed!r}, and of pools over the ECG {there}")
    return config
