"""From tokens back to the signal: of all patches from those that were kept, or from a few tokens alone."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from ecgfm.losses import masked
from ecgfm.model.config import TowerConfig
from ecgfm.model.ecg import EcgFeatures
from ecgfm.model.patches import PATCH, Signal
from ecgfm.model.pool import nearness, stretches
from ecgfm.model.transformer import SMALL, Block, initialise, sines

NEAR = 5  # patches


class Guess(NamedTuple):
    """What a method makes of every patch."""

    patches: Float[Tensor, "B N P"]
    taught: Bool[Tensor, "B N"]  # where a loss is over it; elsewhere it says nothing
    ecg: EcgFeatures  # what was seen


class PatchDecoder(nn.Module):
    """Mask tokens in the places of the dropped patches, positions, a narrow transformer, 16 samples of every lead.

    A convolution tells each place of its neighbours, where the published decoder has to learn where those are: in a
    few hundred steps it does not, and guesses the mean (jobs/LOG.md).
    """

    def __init__(self, towers: TowerConfig):
        super().__init__()
        width = towers.decoder_width
        self.narrow = nn.Linear(towers.width, width)
        self.blank = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.near = None if towers.published_layers else nn.Conv1d(width, width, NEAR, padding=NEAR // 2, groups=width)
        self.blocks = nn.ModuleList(
            Block(width, norm_first=True, activation=quick_gelu) for _ in range(towers.decoder_depth)
        )
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, towers.leads * PATCH)
        initialise(self)
        initialise(self.out, SMALL)

    def forward(
        self, tokens: Float[Tensor, "B S D"], kept: Int64[Tensor, "B K"], valid: Bool[Tensor, "B N"]
    ) -> Float[Tensor, "B N P"]:
        """`tokens` are the summary and one per kept patch, `kept` says of which: N where it is padding."""
        x = self.narrow(tokens)
        rows, count, width = len(x), valid.shape[1], x.shape[2]
        patches = self.blank.to(x.dtype).expand(rows, count + 1, width)
        patches = patches.scatter(1, kept[:, :, None].expand(-1, -1, width), x[:, 1:])[:, :count]
        if self.near is not None:
            told = self.near((patches * valid[:, :, None]).transpose(1, 2)).transpose(1, 2)
            patches = patches + functional.gelu(told)
        x = torch.cat((x[:, :1], patches), dim=1) + sines(count + 1, width, x.device)
        mask = torch.cat((torch.ones_like(valid[:, :1]), valid), dim=1)
        for block in self.blocks:
            x = block(x, mask)
        return self.out(self.norm(x[:, 1:]))


class TokenDecoder(nn.Module):
    """Places that know only when they are read the tokens, and give 16 samples of every lead.

    Nothing else leads here from the signal: what the tokens do not hold cannot be drawn. With `local` a place begins by
    looking at the token of its stretch (model/pool.py).
    """

    def __init__(self, towers: TowerConfig, local: bool):
        super().__init__()
        width = towers.decoder_width
        self.narrow = nn.Linear(towers.width, width)
        self.place = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.focus = nn.Parameter(torch.ones(1)) if local else None
        self.blocks = nn.ModuleList(
            Block(width, cross=True, norm_first=True, activation=quick_gelu) for _ in range(towers.decoder_depth)
        )
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, towers.leads * PATCH)
        initialise(self)
        initialise(self.out, SMALL)

    def forward(self, tokens: Float[Tensor, "B k D"], valid: Bool[Tensor, "B N"]) -> Float[Tensor, "B N P"]:
        tokens = self.narrow(tokens)
        all_ = torch.ones_like(tokens[:, :, 0], dtype=torch.bool)
        x = (self.place + sines(valid.shape[1], len(self.place), valid.device)).expand(len(valid), -1, -1)
        for block in self.blocks:
            x = block(x, valid, tokens, all_, near=self._near(tokens.shape[1], valid))
        return self.out(self.norm(x))

    def _near(self, count: int, valid: Bool[Tensor, "B N"]) -> Float[Tensor, "B N k"] | None:
        if self.focus is None:
            return None
        places = torch.arange(valid.shape[1], device=valid.device) + 0.5
        time = places / valid.sum(1, keepdim=True).clamp(min=1)
        return nearness(stretches(count, valid.device), time, self.focus.expand(count)).mT


def squared_error(guess: Float[Tensor, "B N P"], signal: Signal, patches: Bool[Tensor, "B N"]) -> Float[Tensor, ""]:
    """Over `patches` of every lead that was recorded, hidden or not: those are what is to be filled in."""
    by_lead = (*guess.shape[:2], signal.leads.shape[1], -1)
    places = patches[:, :, None] & signal.leads[:, None]
    return masked.squared_error(guess.view(by_lead), signal.patches().view(by_lead), places)


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)
