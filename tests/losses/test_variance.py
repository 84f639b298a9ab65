"""VICReg against its closed forms; tests/losses/test_gather.py holds it to one value on any number of ranks."""

import math

import pytest
import torch
from torch import Tensor

from ecgfm.losses.variance import covariance, invariance, variance


def white(rows: int, width: int) -> Tensor:
    """Rows whose covariance is the identity, exactly."""
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x - x.mean(0)
    return torch.linalg.qr(x)[0] * math.sqrt(rows - 1)


def test_white_vectors_cost_nothing() -> None:
    assert variance(white(64, 8)) == 0
    assert covariance(white(64, 8)).item() == pytest.approx(0, abs=1e-20)


def test_one_vector_for_all_costs_the_hinge() -> None:
    assert variance(torch.full((16, 8), 3.0)).item() == pytest.approx(1 - math.sqrt(1e-4))
    assert covariance(torch.full((16, 8), 3.0)) == 0


@pytest.mark.parametrize("scale", [0.1, 0.5, 2.0])
def test_a_scale(scale: float) -> None:
    expected = max(0, 1 - math.sqrt(scale**2 + 1e-4))
    assert variance(scale * white(64, 8)).item() == pytest.approx(expected)


def test_two_channels_that_are_one() -> None:
    """C is all ones: two entries off the diagonal, over two channels."""
    assert covariance(white(64, 1).expand(-1, 2)).item() == pytest.approx(1)


def test_a_correlation() -> None:
    x = white(64, 2)
    mixed = torch.stack((x[:, 0], 0.6 * x[:, 0] + 0.8 * x[:, 1]), dim=1)
    assert covariance(mixed).item() == pytest.approx(0.36)


def test_no_rotation_of_white_vectors_and_no_shift_matters() -> None:
    x = white(64, 8)
    turned = x @ torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0] + 7
    assert covariance(turned).item() == pytest.approx(0, abs=1e-20)
    assert variance(turned).item() == pytest.approx(variance(x).item(), abs=1e-12)


def test_fewer_records_than_channels_cannot_be_uncorrelated() -> None:
    """With variances of one the eigenvalues sum to D, and B - 1 are not zero: the term is D/(B - 1) - 1 at least."""
    x = torch.randn(9, 64)
    x = (x - x.mean(0)) / x.std(0)
    assert covariance(x) >= 64 / 8 - 1 - 1e-4


def test_invariance_is_the_mean_square() -> None:
    x, y = torch.randn(6, 4), torch.randn(6, 4)
    assert invariance(x, x) == 0
    assert invariance(x, y).item() == pytest.approx(sum((x - y).flatten().square().tolist()) / 24)


def test_moments_are_not_made_in_16_bits() -> None:
    """bfloat16 keeps 8 bits: a large mean would eat the variance."""
    x = (100 + white(64, 8)).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert variance(x).item() == pytest.approx(variance(x.double()).item(), abs=1e-4)
        assert covariance(x).item() == pytest.approx(0, abs=1e-6)
        assert {variance(x).dtype, covariance(x).dtype, invariance(x.bfloat16(), x.bfloat16()).dtype} == {torch.float32}


def test_a_constant_channel_has_a_gradient_that_is_finite() -> None:
    x = torch.zeros(8, 4, requires_grad=True)
    variance(x).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
