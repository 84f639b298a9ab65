"""The model's first lines: from stored integers to millivolts, to patches of 16 samples, to one vector per patch.

A recording ends with its last whole patch. Padding and missing leads are put to zero before anything is computed, so
what they hold cannot reach a result.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from ecgfm.batch import Batch, Channels

PATCH = 16  # samples; 32 ms at 500 Hz


class Signal(NamedTuple):
    """A batch in millivolts, each lead about its own mean; zero in padding and in missing leads."""

    millivolts: Float[Tensor, "B L T"]
    deviation: Float[Tensor, "B L"]  # of each lead, in millivolts
    leads: Bool[Tensor, "B L"]
    counts: Int[Tensor, "B"]  # patches of each recording

    def valid(self) -> Bool[Tensor, "B N"]:
        """The patches that hold signal."""
        return first(self.counts, self.millivolts.shape[2] // PATCH)

    def patches(self) -> Float[Tensor, "B N P"]:
        """Every lead normalised over its whole length, cut into patches: what a reconstruction is to give.

        A patch's values stand lead by lead: P is leads * 16. A flat lead is all zeros.
        """
        rows, leads, time = self.millivolts.shape
        normal = (self.millivolts * self._scale()).view(rows, leads, time // PATCH, PATCH)
        return normal.transpose(1, 2).flatten(2)

    def restore(self, patches: Float[Tensor, "B N P"]) -> Float[Tensor, "B L T"]:
        """Patches as millivolts, each lead about its own mean."""
        by_lead = patches.unflatten(2, (self.leads.shape[1], PATCH)).transpose(1, 2)
        return by_lead.flatten(2) / self._scale()

    def _scale(self) -> Float[Tensor, "B L 1"]:
        return (self.deviation.square() + 1e-6).rsqrt()[:, :, None]


def read(batch: Batch | Channels) -> Signal:
    count = batch.length // PATCH
    samples = batch.signal[:, :, : batch.signal.shape[2] // PATCH * PATCH]
    inside = batch.leads[:, :, None] & first(count * PATCH, samples.shape[2])[:, None]
    zero = batch.scale.new_zeros(())
    millivolts = torch.where(inside, samples * batch.scale[:, :, None] + batch.offset[:, :, None], zero)
    length = (count * PATCH).clamp(min=1)[:, None]
    mean = millivolts.sum(2) / length
    millivolts = torch.where(inside, millivolts - mean[:, :, None], zero)
    return Signal(millivolts, (millivolts.square().sum(2) / length).sqrt(), batch.leads, count)


def first(count: Int[Tensor, "B"], size: int) -> Bool[Tensor, "B {size}"]:
    """True for the first `count` places of each row."""
    return torch.arange(size, device=count.device) < count[:, None]


class Stem(nn.Module):
    """Four convolutions of kernel 2 and stride 2, a norm over time after the first, GELU after each.

    A convolution whose stride is its kernel is a linear map of pairs, so no sample reaches two patches.
    """

    def __init__(self, leads: int, channels: int):
        super().__init__()
        sizes = (leads, channels, channels, channels, channels)
        maps = [nn.Linear(2 * a, b, bias=False) for a, b in pairwise(sizes)]
        for layer in maps:
            nn.init.kaiming_normal_(layer.weight)
        self.maps, self.norm = nn.ModuleList(maps), TimeNorm(channels)

    def forward(self, x: Float[Tensor, "B L T"], count: Int[Tensor, "B"]) -> Float[Tensor, "B N C"]:
        x = self.norm(self.maps[0](pairs(x.transpose(1, 2))), count * (PATCH // 2))
        for layer in self.maps[1:]:
            x = layer(pairs(functional.gelu(x)))
        return functional.gelu(x)


def pairs(x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T/2 2*C"]:
    rows, time, channels = x.shape
    return x.reshape(rows, time // 2, 2 * channels)


class TimeNorm(nn.Module):
    """GroupNorm of one channel per group, over the valid part of each recording, in fp32.

    Padding is zero and the map before has no bias, so the moments over all of time, times T / count, are those of the
    valid part: padding cannot move them, and they cost one pass.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "B T C"], count: Int[Tensor, "B"]) -> Float[Tensor, "B T C"]:
        with torch.autocast(x.device.type, enabled=False):
            dtype, x = x.dtype, x.float()
            share = (x.shape[1] / count.clamp(min=1))[:, None, None]
            variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
            mean, square = mean * share, (variance + mean.square()) * share
            scale = self.weight * (square - mean.square()).clamp(min=0).add(1e-5).rsqrt()
            return torch.addcmul(self.bias - mean * scale, x, scale).to(dtype)
