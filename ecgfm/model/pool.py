"""From a sequence of tokens to what downstream uses. A pool is a value in the TowerConfig that builds a module."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from ecgfm.model.transformer import Attention, initialise


@dataclass(frozen=True)
class Project:
    """One vector by a linear map: of the first token, of the mean of all, or of mean and largest of each channel.

    A mean alone hardly tells of what happens once in ten seconds, and a token made to read needs many steps to find it
    (tools/compare_pools.py).
    """

    over: Literal["first", "mean", "peaks"] = "peaks"
    bounded: bool = False  # through tanh, as the paper's vectors are: slower to learn as well

    def build(self, tokens: int, width: int) -> "Projection":
        """For tokens of width `tokens`, into vectors of width `width`."""
        return Projection(self, tokens, width)


class Projection(nn.Module):
    def __init__(self, config: Project, tokens: int, width: int):
        super().__init__()
        self.config = config
        self.map = nn.Linear(tokens * (2 if config.over == "peaks" else 1), width)

    def forward(self, tokens: Float[Tensor, "B N E"], mask: Bool[Tensor, "B N"]) -> Float[Tensor, "B D"]:
        made = self.map(self._read(tokens, mask))
        return torch.tanh(made) if self.config.bounded else made

    def _read(self, tokens: Float[Tensor, "B N E"], mask: Bool[Tensor, "B N"]) -> Float[Tensor, "B _"]:
        if self.config.over == "first":
            return tokens[:, 0]
        weight = mask / mask.sum(1, keepdim=True).clamp(min=1)
        mean = torch.einsum("bne,bn->be", tokens, weight.to(tokens.dtype))
        if self.config.over == "mean":
            return mean
        largest = tokens.masked_fill(~mask[:, :, None], torch.finfo(tokens.dtype).min).amax(1)
        return torch.cat((mean, largest), dim=1)


@dataclass(frozen=True)
class Queries:
    """`count` learnt queries that each take what they look for from all tokens: as many vectors at any length.

    With `local` each begins as the one of a stretch of the recording, of `count` equal ones, and learns how far to look
    beyond it. Without, as in Q-Former, they begin nearly alike; what they are to hold apart takes thousands of steps
    to find (jobs/LOG.md).
    """

    count: int = 8
    local: bool = True
    deviation: float = 0.02  # of the queries at the start: as small as Q-Former's
    residual: bool = True  # add the query to its answer, as Perceiver does; without it a vector holds the input alone

    def __post_init__(self):
        if self.count < 1:
            raise ValueError(f"count={self.count}: a pool needs at least one query")

    def build(self, tokens: int, width: int) -> "Bottleneck":
        return Bottleneck(self, tokens, width)


class Bottleneck(nn.Module):
    """One attention from the queries to the tokens, a feed-forward, a norm. Each query is on its own."""

    def __init__(self, config: Queries, tokens: int, width: int):
        super().__init__()
        self.config = config
        self.attend = Attention(width, tokens)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        initialise(self)
        self.queries = nn.Parameter(torch.empty(config.count, width).normal_(std=config.deviation))
        self.focus = nn.Parameter(torch.ones(config.count)) if config.local else None

    def forward(
        self, tokens: Float[Tensor, "B N E"], mask: Bool[Tensor, "B N"], time: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B k D"]:
        """`time` is that of the tokens after the summary, as a share of the recording."""
        x = self.attend(self._asked(tokens), tokens, mask, self._near(time))
        if self.config.residual:
            x = x + self.queries
        x = x + self.narrow(functional.gelu(self.widen(self.norms[1](x))))
        return self.norms[2](x)

    def attention(
        self, tokens: Float[Tensor, "B N E"], mask: Bool[Tensor, "B N"], time: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B k N"]:
        """Which share each query takes of each token, as a mean over heads: rows sum to one, padding has none."""
        return self.attend.weights(self._asked(tokens), tokens, mask, self._near(time)).mean(1)

    def _near(self, time: Float[Tensor, "B K"]) -> Float[Tensor, "B k 1+K"] | None:
        """The summary is as near as can be to all."""
        if self.focus is None:
            return None
        return functional.pad(nearness(stretches(self.config.count, time.device), time, self.focus), (1, 0))

    def _asked(self, tokens: Float[Tensor, "B N E"]) -> Float[Tensor, "B k D"]:
        return self.norms[0](self.queries).expand(len(tokens), -1, -1)


def stretches(count: int, device: torch.device) -> Float[Tensor, "{count}"]:
    """The middles of `count` equal stretches of a recording, as shares of it."""
    return (torch.arange(count, device=device) + 0.5) / count


def nearness(
    middle: Float[Tensor, "k"], time: Float[Tensor, "B N"], focus: Float[Tensor, "k"]
) -> Float[Tensor, "B k N"]:
    """-(focus d)^2, at a distance of d stretches: what is added to attention, which so falls as a bell."""
    return -((focus[:, None] * len(middle) * (middle[:, None] - time[:, None])) ** 2)
