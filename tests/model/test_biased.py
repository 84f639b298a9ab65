"""The attention of T5: the values and gradients of the plain one, and nothing of a map's size kept."""

import pytest
import torch
from torch import nn

from ecgfm.model.biased import attend

RECORDS, HEADS, WORDS, WIDTH = 3, 2, 11, 5


def given() -> list[torch.Tensor]:
    torch.manual_seed(0)
    sides = [torch.randn(RECORDS, HEADS, WORDS, WIDTH, requires_grad=True) for _ in range(3)]
    return [*sides, torch.randn(1, HEADS, WORDS, WORDS, requires_grad=True)]


@pytest.mark.parametrize("masked", [True, False])
def test_values_and_gradients_are_those_written_out(masked: bool) -> None:
    query, key, value, bias = ours = given()
    mask = (torch.arange(WORDS) < torch.tensor([[4], [11], [1]]))[:, None, None] if masked else None
    made, _ = attend(nn.Identity(), query, key, value, mask, scaling=0.7, position_bias=bias)
    scores = 0.7 * query @ key.mT + bias
    expected = (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1) @ value
    torch.testing.assert_close(made, expected.transpose(1, 2))
    weight = torch.randn_like(made)
    found = torch.autograd.grad((made * weight).sum(), ours)
    torch.testing.assert_close(found, torch.autograd.grad((expected.transpose(1, 2) * weight).sum(), ours))


def test_backward_keeps_what_forward_was_given() -> None:
    query, key, value, bias = given()
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t.numel()), t)[1], lambda t: t):
        attend(nn.Identity(), query, key, value, None, scaling=1.0, position_bias=bias)
    assert sorted(kept) == sorted([query.numel()] * 3 + [bias.numel()])


def test_in_bf16_the_bias_is_rounded_as_the_scores_are() -> None:
    query, key, value, bias = given()
    short = [part.detach().bfloat16().requires_grad_() for part in (query, key, value)]
    made, _ = attend(nn.Identity(), *short, None, scaling=1.0, position_bias=bias)
    assert made.dtype == torch.bfloat16
    made.float().sum().backward()
    assert bias.grad is not None
    assert bias.grad.dtype == torch.float32
