"""The ECG tower: patches -> the kept ones -> a transformer. Dropped patches never enter it."""

import math
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor, nn
from torch.nn import functional

from ecgfm import draw
from ecgfm.model.config import TowerConfig
from ecgfm.model.patches import TYPICAL, PublishedStem, Signal, Stem
from ecgfm.model.transformer import Block, dropout, initialise, sines

_POSITION = 0.1  # of a sine beside what a patch holds, which is about 0.6: at 1, towers learn slowly (jobs/LOG.md)


class EcgFeatures(NamedTuple):
    """A summary token, then one token per kept patch."""

    tokens: Float[Tensor, "B 1+K D"]
    mask: Bool[Tensor, "B 1+K"]
    kept: Int64[Tensor, "B K"]  # which patch a token after the first is of; N where it is padding
    dropped: Bool[Tensor, "B N"]  # patches that hold signal and were not seen
    leads: Bool[Tensor, "B L"]  # leads that were seen


class EcgTower(nn.Module):
    """What its TowerConfig says: see there for the sizes and for the choices."""

    def __init__(self, config: TowerConfig):
        super().__init__()
        width, leads = config.width, config.leads
        self.stem = (PublishedStem if config.published_layers else Stem)(leads, config.channels)
        self.norm, self.widen = nn.LayerNorm(config.channels), nn.Linear(config.channels, width)
        self.convolved = ConvolvedPosition(width) if config.position == "convolution" else None
        self.missing = nn.Parameter(torch.empty(leads, width).normal_(std=0.02))
        self.loudness = nn.Parameter(torch.empty(leads, width).normal_(std=0.02)) if config.amplitude else None
        self.summary = nn.Parameter(torch.empty(width).uniform_())
        self.before = nn.LayerNorm(width)
        first = not config.published_layers
        self.blocks = nn.ModuleList(Block(width, config.dropout, norm_first=first) for _ in range(config.depth))
        self.after = nn.LayerNorm(width) if first else nn.Identity()
        self.dropout = config.dropout
        initialise(self.blocks, config.deviation)

    def forward(
        self,
        signal: Signal,
        leads: Bool[Tensor, "B L"],
        kept: Int64[Tensor, "B K"],
        key: Int64[Tensor, "B"] | None,
    ) -> EcgFeatures:
        """See only `leads`, and of those only the patches `kept`; N, one past the last patch, keeps none."""
        valid = signal.valid()
        seen = torch.zeros_like(functional.pad(valid, (0, 1))).scatter(1, kept, True)[:, :-1]
        x = self._patches(signal.millivolts * leads[:, :, None], signal.counts, seen)
        if self.convolved is not None:  # the paper's order: positions first, over every patch, then dropping
            x = self._embed(x, key) * valid[:, :, None]
            x = take(x + self.convolved(x), kept)
        else:  # dropping first: what stood in a dropped patch cannot pass to its neighbours
            places = _POSITION * sines(valid.shape[1], self.widen.out_features, x.device)
            x = self._embed(take(x, kept), key) + take(places, kept)
        x = torch.cat((self.summary.to(x.dtype).expand(len(x), 1, -1), x), dim=1) + self._leads(signal, leads)
        mask = functional.pad(kept < valid.shape[1], (1, 0), value=True)
        x = self.before(x)
        for depth, block in enumerate(self.blocks):
            x = block(x, mask, key=draw.fold(key, depth))
        return EcgFeatures(self.after(x), mask, kept, valid & ~seen, leads)

    def _patches(
        self, x: Float[Tensor, "B L T"], counts: Int[Tensor, "B"], seen: Bool[Tensor, "B N"]
    ) -> Float[Tensor, "B N C"]:
        if isinstance(self.stem, PublishedStem):  # no sample reaches two patches, but a dropped one its norm
            return self.stem(x, counts)
        return self.stem(x, seen)

    def _embed(self, x: Float[Tensor, "B N C"], key: Int64[Tensor, "B"] | None) -> Float[Tensor, "B N D"]:
        return dropout(self.widen(self.norm(x)), self.dropout, draw.fold(key, -1))

    def _leads(self, signal: Signal, leads: Bool[Tensor, "B L"]) -> Float[Tensor, "B 1 D"]:
        """Which leads are missing and, since the stem's norm takes it away, how large the others are."""
        told = (~leads).float() @ self.missing
        if self.loudness is not None:
            level = (signal.deviation.clamp(min=1e-3) / TYPICAL).log()
            told = told + (level * leads) @ self.loudness
        return told[:, None]


class ConvolvedPosition(nn.Module):
    """The paper's positions: a grouped convolution over 128 neighbours. Each patch hears of 2 s on either side."""

    def __init__(self, width: int, kernel: int = 128):
        super().__init__()
        conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=16)
        nn.init.normal_(conv.weight, std=math.sqrt(4 / (kernel * width)))
        nn.init.zeros_(cast(Tensor, conv.bias))
        self.conv = nn.utils.parametrizations.weight_norm(conv, dim=2)

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        return functional.gelu(self.conv(x.transpose(1, 2))[:, :, :-1]).transpose(1, 2)


def take(x: Float[Tensor, "*B N D"], kept: Int64[Tensor, "B K"]) -> Float[Tensor, "B K D"]:
    """The kept patches of each row; zeros for those that are one past the end."""
    rows = x.expand(len(kept), -1, -1)
    place = kept.clamp(max=rows.shape[1] - 1)[:, :, None].expand(-1, -1, rows.shape[2])
    return rows.gather(1, place) * (kept < rows.shape[1])[:, :, None]
