"""The decoder of patches: what a place knows before the first layer."""

from dataclasses import replace

import torch

from ecgfm.model.config import TowerConfig
from ecgfm.objectives.parts.decoder import NEAR, PatchDecoder

PLACES = 20


def test_a_blank_place_knows_its_neighbours_and_no_others() -> None:
    torch.manual_seed(0)
    decoder, towers = PatchDecoder(config := TowerConfig(heads=2, text=None)), config.width
    decoder.blocks = torch.nn.ModuleList()
    dropped = 9
    kept = torch.tensor([[place for place in range(PLACES) if place != dropped]])
    tokens = torch.randn(1, PLACES, towers, requires_grad=True)  # the summary, and a token per kept place
    guess = decoder(tokens, kept, torch.ones(1, PLACES, dtype=torch.bool))
    (slope,) = torch.autograd.grad(guess[0, dropped].square().sum(), tokens)
    heard = kept[0][slope[0, 1:].abs().sum(1) > 0]
    assert heard.tolist() == [p for p in range(dropped - NEAR // 2, dropped + NEAR // 2 + 1) if p != dropped]


def test_padding_is_not_heard() -> None:
    torch.manual_seed(0)
    decoder, count = PatchDecoder(config := TowerConfig(heads=2, text=None)), 12
    valid = torch.arange(PLACES)[None] < count
    kept = torch.where(valid, torch.arange(PLACES)[None], PLACES)
    tokens = torch.randn(1, PLACES + 1, config.width)
    other = tokens.clone()
    other[:, 1 + count :] = 99.0
    one, same = decoder(tokens, kept, valid), decoder(other, kept, valid)
    assert torch.equal(one[:, :count], same[:, :count])


def test_the_published_decoder_has_no_convolution() -> None:
    ours = TowerConfig(heads=2, text=None)
    extra = {name for name, _ in PatchDecoder(ours).named_parameters()}
    extra -= {name for name, _ in PatchDecoder(replace(ours, published_layers=True)).named_parameters()}
    assert extra == {"near.weight", "near.bias"}
