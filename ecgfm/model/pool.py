"""From a sequence of tokens to what downstream uses. A pool is a value in the TowerConfig that builds a module."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Project:
    """The first token, or the mean of all, through a linear map and tanh: one vector."""

    over: Literal["first", "mean"] = "first"

    def build(self, tokens: int, width: int) -> "Projection":
        """For tokens of width `tokens`, into vectors of width `width`."""
        return Projection(self, tokens, width)


class Projection(nn.Module):
    def __init__(self, config: Project, tokens: int, width: int):
        super().__init__()
        self.config = config
        self.map = nn.Linear(tokens, width)

    def forward(self, tokens: Float[Tensor, "B N E"], mask: Bool[Tensor, "B N"]) -> Float[Tensor, "B D"]:
        if self.config.over == "first":
            return torch.tanh(self.map(tokens[:, 0]))
        weight = mask / mask.sum(1, keepdim=True).clamp(min=1)
        return torch.tanh(self.map(torch.einsum("bne,bn->be", tokens, weight.to(tokens.dtype))))
