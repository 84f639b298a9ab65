"""The coding rate: how many nats it takes to tell vectors apart down to a distortion. Few when they repeat one another.

    R(Z) = 1/2 logdet(I + a Z Z^T)        Z: n vectors of unit length and width d,  a = d / (n eps^2)

It is highest, n/2 log(1 + a), when n <= d vectors stand at right angles, and lowest, 1/2 log(1 + d/eps^2), when all
are one. Vectors get unit length here, since longer ones would buy rate without being different.

Everything is fp32, outside autocast, from before the length is taken: a Gram matrix rounded to bfloat16 has lost the
differences between near vectors, which are what this is about. Of few vectors it is factorised on their side, by
Cholesky; of a batch, on that of the channels, which ranks can sum. The
identity keeps every eigenvalue at one or above, so there is nothing to add and a factorisation fails only where what
it was given is broken; then the rate is NaN, and engines refuse to update.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ecgfm.losses.gather import summed, world


def within(z: Float[Tensor, "*S n d"], distortion: float) -> Float[Tensor, "*S"]:
    """The rate of each set of n vectors. `distortion` is eps^2, which published code calls eps."""
    with torch.autocast(z.device.type, enabled=False):
        z = _unit(z)
        n, d = z.shape[-2:]
        gram = z @ z.mT if n <= d else z.mT @ z
        return half_logdet(gram, d / (n * distortion))


def across(z: Float[Tensor, "B *S d"], distortion: float) -> Float[Tensor, "*S"]:
    """The rate of the world batch's vectors in each place: of all first ones, of all second ones ...

    From second moments summed over ranks, so that it does not depend on how many ranks there are.
    """
    with torch.autocast(z.device.type, enabled=False):
        z = _unit(z)
        moment = summed(torch.einsum("b...i,b...j->...ij", z, z))
        return half_logdet(moment, z.shape[-1] / (len(z) * world() * distortion))


def highest(n: int, d: int, distortion: float) -> float:
    """Of n vectors at right angles; where n > d, of vectors that fill all directions alike."""
    few = min(n, d)
    return few / 2 * math.log1p(d / (few * distortion))


def lowest(d: int, distortion: float) -> float:
    """Of any number of equal vectors."""
    return math.log1p(d / distortion) / 2


def _unit(z: Tensor) -> Tensor:
    return functional.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=-1)


def half_logdet(gram: Float[Tensor, "*S m m"], scale: float) -> Float[Tensor, "*S"]:
    matrix = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device) + scale * gram
    factor, failed = torch.linalg.cholesky_ex(matrix)
    rate = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return torch.where(failed == 0, rate, torch.nan)  # a failed factor is garbage, and may look like a number
