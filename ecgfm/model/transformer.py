"""Transformer blocks: attention through torch's fused kernels, dropout as a function of the record."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from ecgfm import draw

HEAD = 64  # channels of an attention head
SMALL = 0.02  # BERT's weights; also those of a last map, so that the first guess is near the mean


class Attention(nn.Module):
    """Multi-head attention of x to a source of any width; no attention map is kept, so none can be dropped out of."""

    def __init__(self, width: int, source: int | None = None):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(source or width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        source: Float[Tensor, "B M E"],
        mask: Bool[Tensor, "B M"],
        near: Float[Tensor, "B N M"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """`near` is added to what each of x finds in each place of the source."""
        query, key, value = self._heads(x, source)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=_added(mask, near, query.dtype))
        return self.out(mixed.transpose(1, 2).flatten(2))

    def weights(
        self,
        x: Float[Tensor, "B N D"],
        source: Float[Tensor, "B M E"],
        mask: Bool[Tensor, "B M"],
        near: Float[Tensor, "B N M"] | None = None,
    ) -> Float[Tensor, "B H N M"]:
        """How much of each place of the source goes into each of x: the attention to values that are the places."""
        query, key, _ = self._heads(x, source)
        places = torch.eye(source.shape[1], dtype=key.dtype, device=key.device).expand(*key.shape[:2], -1, -1)
        return functional.scaled_dot_product_attention(query, key, places, attn_mask=_added(mask, near, key.dtype))

    def _heads(self, x: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        key, value = self.key_value(source).chunk(2, dim=-1)
        query, key, value = (part.unflatten(-1, (-1, HEAD)).transpose(1, 2) for part in (self.query(x), key, value))
        return query, key, value


def _added(mask: Bool[Tensor, "B M"], near: Float[Tensor, "B N M"] | None, dtype: torch.dtype) -> Tensor:
    return mask[:, None, None] if near is None else near.to(dtype).masked_fill(~mask[:, None], -math.inf)[:, None]


class Block(nn.Module):
    """Self-attention, attention to another sequence where `cross` is set, and a feed-forward of four times the width.

    Norms come after each sum, as in BERT, or before each part where `norm_first` is set.
    """

    def __init__(
        self,
        width: int,
        dropout: float = 0.0,
        cross: bool = False,
        norm_first: bool = False,
        activation: Callable[[Tensor], Tensor] = functional.gelu,
    ):
        super().__init__()
        self.attend = Attention(width)
        self.cross = Attention(width) if cross else None
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if cross else 2))
        self.dropout, self.norm_first, self.activation = dropout, norm_first, activation

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        mask: Bool[Tensor, "B N"],
        other: Float[Tensor, "B M D"] | None = None,
        other_mask: Bool[Tensor, "B M"] | None = None,
        key: Int64[Tensor, "B"] | None = None,
        near: Float[Tensor, "B N M"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        x = self._add(x, lambda h: self.attend(h, h, mask), 0, key)
        cross = self.cross
        if cross is not None:
            x = self._add(x, lambda h: cross(h, other, other_mask, near), 1, key)
        return self._add(x, lambda h: self.narrow(self.activation(self.widen(h))), -1, key)

    def _add(self, x: Tensor, part: Callable[[Tensor], Tensor], place: int, key: Tensor | None) -> Tensor:
        norm, key = self.norms[place], draw.fold(key, place)
        if self.norm_first:
            return x + dropout(part(norm(x)), self.dropout, key)
        return norm(x + dropout(part(x), self.dropout, key))


def dropout(x: Float[Tensor, "B *_"], rate: float, key: Int64[Tensor, "B"] | None) -> Float[Tensor, "B *_"]:
    """Dropout whose mask follows from each record's key: the same on any number of processes. No key, no dropout."""
    if key is None or rate == 0:
        return x
    kept = draw.numbers(key, x[0].numel()).view(x.shape) >= rate
    return x * kept / (1 - rate)


def sines(count: int, width: int, device: torch.device) -> Float[Tensor, "{count} {width}"]:
    """Sinusoidal positions: any length, nothing to learn."""
    rate = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000) / width))
    angle = torch.arange(count, device=device)[:, None] * rate
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)


def initialise(module: nn.Module, deviation: float | None = None) -> None:
    """Zero biases, and for every map N(0, 1 / n), n its smaller side: what passes keeps its size at any width.

    `deviation` is the same for every map, as BERT's 0.02 is. At its width that is half of ours, at small ones a fifth,
    and towers learn slowly (jobs/LOG.md).
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=deviation or min(part.weight.shape) ** -0.5)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
