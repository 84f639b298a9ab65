"""Two sequences that read each other: co-attention, a stack for each."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from ecgfm import draw
from ecgfm.model.config import TowerConfig
from ecgfm.model.transformer import Block, dropout, initialise


class Fused(NamedTuple):
    ecg: Float[Tensor, "B N D"]
    text: Float[Tensor, "B M D"]
    halfway: Float[Tensor, "B N D"]  # the ECG after half of the layers


class Fusion(nn.Module):
    """In each layer a sequence attends to itself, then to the other as the layer before left it."""

    def __init__(self, text_width: int, sizes: TowerConfig):
        super().__init__()
        width, first, layers = sizes.width, not sizes.published_layers, range(sizes.fusion_depth)
        self.ecg_in, self.text_in = nn.Linear(width, width), nn.Linear(text_width, width)
        self.kinds = nn.Parameter(torch.empty(2, width).normal_(std=0.02))
        self.ecg = nn.ModuleList(Block(width, sizes.dropout, cross=True, norm_first=first) for _ in layers)
        self.text = nn.ModuleList(Block(width, sizes.dropout, cross=True, norm_first=first) for _ in layers)
        self.after = nn.ModuleList(nn.LayerNorm(width) if first else nn.Identity() for _ in Fused._fields)
        self.rate = sizes.dropout
        initialise(self, sizes.deviation)

    def forward(
        self,
        ecg: Float[Tensor, "B N D"],
        ecg_mask: Bool[Tensor, "B N"],
        text: Float[Tensor, "B M E"],
        text_mask: Bool[Tensor, "B M"],
        key: Int64[Tensor, "B"] | None,
    ) -> Fused:
        ecg = dropout(self.ecg_in(ecg) + self.kinds[0], self.rate, draw.fold(key, -1))
        text = dropout(self.text_in(text) + self.kinds[1], self.rate, draw.fold(key, -2))
        halfway = ecg
        for depth, (ecg_block, text_block) in enumerate(zip(self.ecg, self.text, strict=True)):
            if depth == len(self.ecg) // 2:
                halfway = ecg
            ecg_next = ecg_block(ecg, ecg_mask, text, text_mask, draw.fold(key, 2 * depth))
            text = text_block(text, text_mask, ecg, ecg_mask, draw.fold(key, 2 * depth + 1))
            ecg = ecg_next
        return Fused(*(norm(x) for norm, x in zip(self.after, (ecg, text, halfway), strict=True)))
