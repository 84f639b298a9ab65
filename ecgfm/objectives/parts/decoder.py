"""From the tokens of the kept patches back to the signal of all of them."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from ecgfm.model.config import TowerConfig
from ecgfm.model.patches import PATCH
from ecgfm.model.transformer import Block, initialise, sines


class PatchDecoder(nn.Module):
    """Mask tokens in the places of the dropped patches, positions, a narrow transformer, 16 samples of every lead."""

    def __init__(self, towers: TowerConfig):
        super().__init__()
        width = towers.decoder_width
        self.narrow = nn.Linear(towers.width, width)
        self.blank = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.blocks = nn.ModuleList(
            Block(width, norm_first=True, activation=quick_gelu) for _ in range(towers.decoder_depth)
        )
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, towers.leads * PATCH)
        initialise(self)

    def forward(
        self, tokens: Float[Tensor, "B S D"], kept: Int64[Tensor, "B K"], valid: Bool[Tensor, "B N"]
    ) -> Float[Tensor, "B N P"]:
        """`tokens` are the summary and one per kept patch, `kept` says of which: N where it is padding."""
        x = self.narrow(tokens)
        rows, count, width = len(x), valid.shape[1], x.shape[2]
        patches = self.blank.to(x.dtype).expand(rows, count + 1, width)
        patches = patches.scatter(1, kept[:, :, None].expand(-1, -1, width), x[:, 1:])[:, :count]
        x = torch.cat((x[:, :1], patches), dim=1) + sines(count + 1, width, x.device)
        mask = torch.cat((torch.ones_like(valid[:, :1]), valid), dim=1)
        for block in self.blocks:
            x = block(x, mask)
        return self.out(self.norm(x[:, 1:]))


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)
