"""VICReg (2105.04906) of the world batch, in fp32: two views alike, channels spread out, no two channels the same.

    invariance     mean over records and channels of (x - y)^2
    variance       mean over channels of max(0, 1 - sqrt(var + 1e-4))
    covariance     1/D sum_{i != j} cov_ij^2

with the moments of all ranks' rows, unbiased (B - 1), so that a loss does not depend on how many ranks there are. The
covariance of B records has rank B - 1 at most: where the world batch is not larger than D, its term cannot reach zero
while the variance is kept.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ecgfm.losses.gather import gather

FLOOR = 1e-4  # under the root, whose slope is infinite at zero


def invariance(x: Float[Tensor, "B D"], y: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    return (_wide(x) - _wide(y)).square().mean()


def variance(x: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    x = gather(_wide(x))
    return functional.relu(1 - (x.var(0) + FLOOR).sqrt()).mean()


def covariance(x: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    x = gather(_wide(x))
    with torch.autocast(x.device.type, enabled=False):
        centred = x - x.mean(0)
        moments = centred.T @ centred / (len(x) - 1)
    return (moments.square().sum() - moments.diagonal().square().sum()) / x.shape[1]


def _wide(x: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    return x.to(torch.promote_types(x.dtype, torch.float32))
