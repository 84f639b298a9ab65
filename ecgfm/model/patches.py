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
TYPICAL = 0.2  # mV: an ordinary lead's standard deviation
KERNEL = 7  # of the convolutions: a patch is told of 38 samples on either side of it


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
    """Four convolutions of stride 2 that overlap, after each a norm over time and GELU.

    What is not seen, padding and dropped patches alike, is zero at every layer and in no moment of a norm, so nothing
    of it reaches a patch that is. A wave that a patch's edge cuts is seen by both sides, where maps of pairs have to
    learn it anew for each of 16 places (tools/compare_pools.py).
    """

    def __init__(self, leads: int, channels: int):
        super().__init__()
        sizes = (leads, channels // 2, channels // 2, channels, channels)
        layers = [nn.Conv1d(a, b, KERNEL, stride=2, padding=KERNEL // 2, bias=False) for a, b in pairwise(sizes)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight)
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(GroupNorm(size) for size in sizes[1:])

    def forward(self, x: Float[Tensor, "B L T"], seen: Bool[Tensor, "B N"]) -> Float[Tensor, "B N C"]:
        x = x * seen.repeat_interleave(PATCH, dim=1)[:, None] / TYPICAL
        for layer, norm, step in zip(self.layers, self.norms, (8, 4, 2, 1), strict=True):
            inside = seen.repeat_interleave(step, dim=1)[:, None]
            x = functional.gelu(norm(layer(x) * inside, inside)) * inside
        return x.transpose(1, 2)


class PublishedStem(nn.Module):
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

    Padding is zero, as the map before has no bias.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "B T C"], count: Int[Tensor, "B"]) -> Float[Tensor, "B T C"]:
        with torch.autocast(x.device.type, enabled=False):
            dtype, x = x.dtype, x.float()
            variance, mean = moments(x, 1, (x.shape[1] / count.clamp(min=1))[:, None, None])
            scale = self.weight * variance.add(1e-5).rsqrt()
            return torch.addcmul(self.bias - mean * scale, x, scale).to(dtype)


class GroupNorm(nn.Module):
    """GroupNorm of sixteen channels each over what is `inside`, in fp32; elsewhere x is zero."""

    def __init__(self, channels: int):
        super().__init__()
        self.groups = max(1, channels // 16)
        self.weight = nn.Parameter(torch.ones(channels, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Float[Tensor, "B C T"], inside: Bool[Tensor, "B 1 T"]) -> Float[Tensor, "B C T"]:
        with torch.autocast(x.device.type, enabled=False):
            dtype, x = x.dtype, x.float()
            share = x.shape[2] / inside.sum(2).clamp(min=1)
            variance, mean = moments(x.unflatten(1, (self.groups, -1)), (2, 3), share[:, :, None, None])
            each = x.shape[1] // self.groups
            scale = variance.add(1e-5).rsqrt().flatten(1).repeat_interleave(each, 1)[:, :, None] * self.weight
            mean = mean.flatten(1).repeat_interleave(each, 1)[:, :, None]
            return torch.addcmul(self.bias - mean * scale, x, scale).to(dtype)


def moments(x: Tensor, over: int | tuple[int, ...], share: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean of the part of x that is seen, 1 / `share` of all; the rest is zero. One pass over x."""
    variance, mean = torch.var_mean(x, dim=over, correction=0, keepdim=True)
    mean, square = mean * share, (variance + mean.square()) * share
    return (square - mean.square()).clamp(min=0), mean
