"""Balance and orthogonality against closed forms; one process or several, the same value and gradient."""

import math

import pytest
import ranks
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn import functional

from ecgfm.losses.gather import rank, total, world
from ecgfm.losses.spectrum import FLOOR, balance, moments, orthogonality

ROWS, WIDTH, EPS2 = 12, 5, 0.5


def normal(rows: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(x: Tensor) -> Tensor:
    return moments(x, torch.ones(len(x), dtype=torch.bool))[1]


def cross(width: int) -> Tensor:
    """Unit vectors to both sides of every axis: mean 0, covariance I/d."""
    return torch.cat((torch.eye(width, dtype=torch.float64), -torch.eye(width, dtype=torch.float64)))


def rotation(width: int) -> Tensor:
    return torch.linalg.qr(normal(width, width, seed=5))[0]


def test_moments_are_those_of_the_rows_that_count() -> None:
    x, there = normal(40, 6) + 3, torch.arange(40) % 3 > 0
    mean, made = moments(x, there)
    torch.testing.assert_close(mean, x[there].mean(0))
    torch.testing.assert_close(made, torch.cov(x[there].T, correction=0))
    assert not torch.cat([part.flatten() for part in moments(x, torch.zeros(40, dtype=torch.bool))]).any()


def test_the_covariance_s_gradient_is_right_though_the_mean_has_none() -> None:
    x = (normal(9, 4) + 2).requires_grad_()
    weight = normal(4, 4, seed=1)
    (ours,) = torch.autograd.grad((covariance(x) * weight).sum(), x)
    (theirs,) = torch.autograd.grad((torch.cov(x.T, correction=0) * weight).sum(), x)
    torch.testing.assert_close(ours, theirs)


def test_nothing_cancels_in_fp32() -> None:
    """A cone: all vectors nearly one. Second moments about zero would have lost the spread of 1e-4."""
    x = functional.normalize(1 + 1e-4 * normal(500, 8), dim=-1)
    torch.testing.assert_close(covariance(x.float()).double(), covariance(x), rtol=1e-2, atol=1e-12)


@pytest.mark.parametrize("distortion", [0.05, 0.5, 2.0])
def test_balance_in_closed_form(distortion: float) -> None:
    d, r = 16, 4
    best = d / 2 * math.log1p(1 / distortion)
    assert balance(covariance(cross(d)), distortion).item() == pytest.approx(0, abs=1e-12)
    assert balance(covariance(torch.ones(9, d).double()), distortion).item() == pytest.approx(1)
    few = torch.zeros(2 * r, d, dtype=torch.float64)
    few[:, :r] = cross(r)  # r of d directions, all of them alike
    filled = r / 2 * math.log1p(d / (r * distortion))
    assert balance(covariance(few), distortion).item() == pytest.approx(1 - filled / best)
    made = balance(covariance(few @ rotation(d)), distortion).item()
    assert made == pytest.approx(1 - filled / best)


def test_balance_has_its_minimum_where_every_direction_holds_as_much() -> None:
    z = (3 * cross(8) @ rotation(8)).requires_grad_()
    value = balance(covariance(functional.normalize(z, dim=-1)), EPS2)
    (gradient,) = torch.autograd.grad(value, z)
    assert gradient.abs().max() < 1e-12
    others = [balance(covariance(functional.normalize(normal(64, 8, seed), dim=-1)), EPS2) for seed in range(20)]
    assert min(others) > value


def test_orthogonality_in_closed_form() -> None:
    d, shared = 8, 0.6
    assert orthogonality(covariance(cross(d))).item() == pytest.approx(0, abs=1e-15)
    assert orthogonality(torch.eye(d) * torch.arange(1.0, d + 1)).item() == pytest.approx(0, abs=1e-12)
    every_two = (1 - shared) * torch.eye(d).double() + shared * torch.ones(d, d).double()
    small = pytest.approx(shared**2, rel=2 * FLOOR)
    assert orthogonality(every_two / d).item() == small
    assert orthogonality(every_two).item() == small
    assert orthogonality(torch.zeros(d, d)).item() == 0


def test_orthogonality_of_independent_features_is_what_the_docs_say() -> None:
    n = 50
    x = normal(2000 * n, 6).view(2000, n, 6)
    made = torch.stack([orthogonality(covariance(part)) for part in x]).mean()
    assert made.item() == pytest.approx(1 / (n - 1), rel=0.05)


def test_a_constant_feature_has_a_finite_gradient() -> None:
    x = normal(20, 6)
    x[:, 2] = 1.0
    x.requires_grad_()
    made = covariance(x)
    (balance(made, EPS2) + orthogonality(made)).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_what_is_broken_gives_nan_and_not_a_number_that_looks_right() -> None:
    broken = torch.full((4, 4), torch.nan)
    assert balance(broken, EPS2).isnan()
    assert balance(-torch.eye(4) * 100, EPS2).isnan()
    with pytest.raises(TypeCheckError):
        balance(torch.eye(4)[:2], EPS2)


def test_bf16_around_it_changes_nothing() -> None:
    x = normal(32, 8).float()
    with torch.autocast("cpu", torch.bfloat16):
        made = covariance(x)
        inside = balance(made, EPS2), orthogonality(made)
    outside = balance(covariance(x), EPS2), orthogonality(covariance(x))
    torch.testing.assert_close(inside, outside, rtol=0, atol=0)


def compute() -> tuple[Tensor, ...]:
    """Values, and the gradient as an engine that averages over ranks sees it."""
    there = torch.arange(ROWS) % 4 > 0  # ranks have as many rows, and not as many that count
    there[: ROWS // 3] = True
    part = slice(rank() * ROWS // world(), (rank() + 1) * ROWS // world())
    x = (normal(ROWS, WIDTH) + 1)[part].requires_grad_()
    mean, made = moments(x, there[part])
    terms = torch.stack((balance(made, EPS2), orthogonality(made)))
    (terms[0] + 3 * terms[1]).backward()
    assert x.grad is not None
    return mean, total(terms.detach()) / world(), x.grad / world()


@pytest.mark.parametrize("count", [2, 3])
def test_ranks_are_one_batch(count: int) -> None:
    (mean, terms, gradient), parts = compute(), ranks.run(count, compute)
    assert gradient.abs().sum() > 0
    for part in parts:
        torch.testing.assert_close(part[:2], (mean, terms))
    torch.testing.assert_close(torch.cat([part[2] for part in parts]), gradient)
