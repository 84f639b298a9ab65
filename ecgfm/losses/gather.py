"""What a loss sees of the other ranks.

One convention for every term: each rank returns a value whose mean over ranks is the term of the world batch, and
engines average gradients over ranks. Then W ranks of B / W records are one rank of B, in value and in every gradient.
All ranks hold equally many records.
"""

import torch
import torch.distributed as dist
from jaxtyping import Num
from torch import Tensor


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def gather(x: Num[Tensor, "B *_"]) -> Num[Tensor, "BW *_"]:
    """The rows of every rank, by rank. Backward sums what all ranks say about this rank's rows."""
    return _Gather.apply(x) if world() > 1 else x


def total(x: Num[Tensor, "*_"]) -> Num[Tensor, "*_"]:
    """The sum over ranks, of what needs no gradient: counts and weights."""
    if world() == 1:
        return x
    summed = x.detach().clone()
    dist.all_reduce(summed)
    return summed


def summed(x: Num[Tensor, "*_"]) -> Num[Tensor, "*_"]:
    """The sum over ranks, of moments. Backward sums what all ranks say about it."""
    return _Sum.apply(x) if world() > 1 else x


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return total(x)

    @staticmethod
    def backward(ctx, *upstream: Tensor) -> Tensor:
        return total(upstream[0].contiguous())


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        parts = [torch.empty_like(x) for _ in range(world())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, *upstream: Tensor) -> Tensor:
        gradient = upstream[0].contiguous().clone()
        dist.all_reduce(gradient)
        start = ctx.rows * rank()
        return gradient[start : start + ctx.rows]
