"""How evenly vectors fill their directions, from their second moments over the world batch, in fp32.

    C              covariance of the vectors
    balance        1 - R(C) / R(I/d),   R(C) = 1/2 logdet(I + d/eps^2 C)
    orthogonality  mean over i != j of C_ij^2 / (C_ii C_jj)

Both lie between 0 and 1 for vectors of unit length. Balance is 1 where all vectors are one, and 0 where every direction
holds as much as any other. It looks at eigenvalues, which no rotation changes; orthogonality at the axes as they are,
and not at how much each holds. In a batch of n rows balance cannot fall to 0 while n <= d, and orthogonality of
features that have nothing to do with one another is 1 / (n - 1): both are to be compared at equal n.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ecgfm.losses.gather import summed, total
from ecgfm.losses.rate import half_logdet

FLOOR = 1e-4  # of 1/d, the variance of a feature of balanced unit vectors: what has less counts as constant


def moments(x: Float[Tensor, "B D"], there: Bool[Tensor, "B"]) -> tuple[Float[Tensor, "D"], Float[Tensor, "D D"]]:
    """Mean and covariance of the rows that count, over all ranks; zero where none does.

    The covariance is summed about the mean of all, so that nothing cancels. The mean has no gradient and needs none:
    the covariance does not change, to first order, as the point moves about which it is taken.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        weight = there.to(x.dtype)
        count = total(weight.sum()).clamp(min=1)
        mean = total((weight @ x).detach()) / count
        centred = (x - mean) * weight[:, None]
        return mean, summed(centred.T @ centred) / count


def balance(covariance: Float[Tensor, "D D"], distortion: float) -> Float[Tensor, ""]:
    """`distortion` is eps^2: directions that hold much less than eps^2 / d are hardly missed."""
    d = len(covariance)
    return 1 - half_logdet(covariance, d / distortion) / (d / 2 * math.log1p(1 / distortion))


def orthogonality(covariance: Float[Tensor, "D D"]) -> Float[Tensor, ""]:
    d = len(covariance)
    scale = (covariance.diagonal() + FLOOR / d).rsqrt()
    correlation = covariance * scale[:, None] * scale
    return (correlation - correlation.diagonal().diag()).square().sum() / (d * (d - 1))
