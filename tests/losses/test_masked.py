"""Errors at hidden places, against their definitions."""

import math

import torch

from ecgfm.losses import masked


def test_the_mean_is_over_what_counts() -> None:
    value, weight = torch.tensor([[1.0, 2.0], [30.0, 6.0]]), torch.tensor([[True, True], [False, True]])
    assert masked.mean(value, weight).item() == 3.0


def test_nothing_that_counts_is_zero_with_a_gradient() -> None:
    value = torch.ones(3, requires_grad=True)
    masked.mean(value, torch.zeros(3, dtype=torch.bool)).backward()
    assert value.grad.tolist() == [0, 0, 0]


def test_cross_entropy_in_float64() -> None:
    logits, target = torch.randn(2, 3, 5), torch.randint(5, (2, 3))
    weight = torch.tensor([[True, False, True], [True, True, False]])
    expected = [
        math.log(sum(math.exp(x) for x in logits[i, j].tolist())) - logits[i, j, target[i, j]].item()
        for i, j in weight.nonzero().tolist()
    ]
    torch.testing.assert_close(masked.cross_entropy(logits, target, weight).item(), sum(expected) / 4)


def test_even_odds_cost_the_log_of_the_choices() -> None:
    value = masked.cross_entropy(torch.zeros(4, 7), torch.arange(4), torch.ones(4, dtype=torch.bool))
    torch.testing.assert_close(value.item(), math.log(7))


def test_squared_error_in_float64() -> None:
    guess, target, weight = torch.randn(4, 3, 8), torch.randn(4, 3, 8), torch.rand(4, 3) < 0.5
    terms = [
        (guess[i, j].double() - target[i, j].double()).square().mean().item() for i, j in weight.nonzero().tolist()
    ]
    torch.testing.assert_close(masked.squared_error(guess, target, weight).item(), sum(terms) / len(terms))


def test_errors_are_summed_in_fp32() -> None:
    """In bfloat16 a sum of 10,000 ones stops at 256."""
    ones = torch.ones(100, 100, 1, dtype=torch.bfloat16)
    value = masked.squared_error(ones, torch.zeros_like(ones), torch.ones(100, 100, dtype=torch.bool))
    assert value.item() == 1.0
    assert value.dtype == torch.float32
