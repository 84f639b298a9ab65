"""Attention and blocks against plain arithmetic; dropout as a function of the record."""

import math

import pytest
import torch
from torch import nn

from ecgfm import draw
from ecgfm.model.transformer import Attention, Block, dropout, initialise, sines

WIDTH = 128


def test_attention_is_its_definition() -> None:
    attention = Attention(WIDTH).double()
    x, source = torch.randn(2, 5, WIDTH).double(), torch.randn(2, 7, WIDTH).double()
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    query, both = attention.query(x), attention.key_value(source)
    expected = torch.zeros_like(x)
    for row in range(2):
        for head in range(WIDTH // 64):
            part = slice(64 * head, 64 * head + 64)
            key, value = both[row, mask[row], :WIDTH][:, part], both[row, mask[row], WIDTH:][:, part]
            weight = (query[row, :, part] @ key.T / math.sqrt(64)).softmax(-1)
            expected[row, :, part] = weight @ value
    torch.testing.assert_close(attention(x, source, mask), attention.out(expected))


def test_weights_are_those_that_attention_mixes_by() -> None:
    attention = Attention(WIDTH, source=6).double()
    x, source = torch.randn(2, 5, WIDTH).double(), torch.randn(2, 7, 6).double()
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    weight = attention.weights(x, source, mask)
    assert weight.shape == (2, WIDTH // 64, 5, 7)
    assert not weight[1, :, :, 4:].any()
    value = attention.key_value(source)[:, :, WIDTH:].unflatten(-1, (-1, 64))
    mixed = torch.einsum("bhnm,bmhc->bnhc", weight, value).flatten(2)
    torch.testing.assert_close(attention(x, source, mask), attention.out(mixed))


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_block_hides_what_is_masked(norm_first: bool) -> None:
    block = Block(WIDTH, cross=True, norm_first=norm_first)
    x, other = torch.randn(2, 6, WIDTH), torch.randn(2, 4, WIDTH)
    mask, other_mask = torch.arange(6) < torch.tensor([[6], [3]]), torch.arange(4) < torch.tensor([[2], [4]])
    seen = block(x, mask, other, other_mask)
    noisy = block(
        torch.where(mask[..., None], x, 99.0), mask, torch.where(other_mask[..., None], other, -99.0), other_mask
    )
    assert torch.equal(seen[mask], noisy[mask])


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (128, 512), (2048, 512)])
def test_at_the_start_a_map_keeps_the_size_of_what_passes(rows: int, columns: int) -> None:
    layer = nn.Linear(columns, rows)
    initialise(layer)
    assert layer.weight.std().item() == pytest.approx(min(rows, columns) ** -0.5, rel=0.05)
    initialise(layer, 0.02)
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not layer.bias.any()


def test_the_published_order_ends_in_a_norm() -> None:
    x, mask = torch.randn(2, 6, WIDTH), torch.ones(2, 6, dtype=torch.bool)
    torch.testing.assert_close(Block(WIDTH)(x, mask).std(-1, correction=0), torch.ones(2, 6), atol=1e-3, rtol=0)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_no_attention_map_is_kept(precision: torch.dtype) -> None:
    size, kept = 97, []
    block, x = Block(WIDTH), torch.randn(2, size, WIDTH, requires_grad=True)
    mask = torch.arange(size) < torch.tensor([[size], [50]])
    watch = torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t)
    with torch.autocast("cpu", precision, enabled=precision == torch.bfloat16), watch:
        block(x, mask).sum().backward()
    assert kept
    assert not [t.shape for t in kept if t.shape[-2:] == (size, size)]


def test_dropout_follows_the_record_and_not_the_batch() -> None:
    key = draw.keys(3, "dropout", torch.arange(100, 108))
    x = torch.ones(8, 30, WIDTH)
    whole = dropout(x, 0.1, key)
    assert torch.equal(whole[2:5], dropout(x[2:5], 0.1, key[2:5]))
    assert torch.equal(whole.flip(0), dropout(x, 0.1, key.flip(0)))
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole, dropout(x, 0.1, draw.fold(key, 0)))
    assert (whole == 0).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert whole.mean().item() == pytest.approx(1, abs=0.01)


def test_no_key_is_no_dropout_whatever_the_mode() -> None:
    block, x, mask = Block(WIDTH, dropout=0.5), torch.randn(2, 6, WIDTH), torch.ones(2, 6, dtype=torch.bool)
    assert torch.equal(block.train()(x, mask), block.eval()(x, mask))
    assert not torch.equal(block(x, mask), block(x, mask, key=draw.keys(0, "dropout", torch.arange(2))))


def test_positions_are_told_apart_far_beyond_training() -> None:
    table = sines(2000, WIDTH, torch.device("cpu"))
    distance = torch.cdist(table, table) + 10 * torch.eye(2000)
    assert distance.min() > 0.5
    torch.testing.assert_close(table[0], torch.tensor([0.0, 1.0]).repeat(WIDTH // 2))
