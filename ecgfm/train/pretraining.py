"""Towers and objectives, one loss: the single module that an engine wraps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ecgfm.batch import Batch
from ecgfm.model.config import TowerConfig
from ecgfm.model.encoded import Encoded
from ecgfm.model.towers import Towers


class Pretraining(nn.Module):
    """`objectives` are config objects by name, from whatever file they come (ecgfm/objectives/__init__.py).

    Of the towers, what no objective asks for is not built. `towers.config` then tells what was.
    """

    def __init__(self, towers: TowerConfig, objectives: Mapping[str, Any], pretrained: bool = True):
        super().__init__()
        self.columns = frozenset(column for config in objectives.values() for column in config.columns)
        self.towers = Towers(needed(towers, objectives), pretrained)
        self.objectives = nn.ModuleDict({name: config.build(self.towers) for name, config in objectives.items()})
        self.weights = {f"{name}/{term}": w for name, config in objectives.items() for term, w in config.terms.items()}

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
    if name.startswith(("towers.ecg.", "towers.pools.")):
        return "ecg"
    return "text" if name.startswith("towers.text.model.") else "heads"


def needed(towers: TowerConfig, objectives: Mapping[str, Any]) -> TowerConfig:
    """The towers with the pools that the objectives want, and without a text encoder where none reads reports."""
    pools = dict(towers.pools)
    for name, config in objectives.items():
        for pool, value in config.pools.items():
            if pools.setdefault(pool, value) != value:
                raise ValueError(f"{name} wants a pool {pool!r} that another objective defines otherwise")
    reads = any("text" in config.columns for config in objectives.values())
    return replace(towers, pools=pools, text=towers.text if reads else None)
