"""The coding rate against its closed forms, torch's slogdet, and the failures of published code."""

import math

import pytest
import torch
from torch import Tensor

from ecgfm.losses.rate import across, highest, lowest, within

# Tokens, width, eps^2.
SHAPES = [(8, 256, 0.5), (8, 256, 0.05), (1, 16, 0.5), (16, 16, 0.2), (40, 16, 0.2)]


def tokens(count: int, width: int, seed: int = 0, rows: int = 3) -> Tensor:
    return torch.randn(rows, count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def definition(z: Tensor, distortion: float) -> Tensor:
    """One set of vectors, on the side of their width."""
    z = z / z.norm(dim=-1, keepdim=True)
    n, d = z.shape
    return torch.linalg.slogdet(torch.eye(d, dtype=z.dtype) + d / (n * distortion) * z.T @ z).logabsdet / 2


@pytest.mark.parametrize(("count", "width", "distortion"), SHAPES)
def test_it_is_its_definition_and_so_is_its_gradient(count: int, width: int, distortion: float) -> None:
    ours, theirs = (tokens(count, width).requires_grad_() for _ in range(2))
    value, expected = within(ours, distortion), torch.stack([definition(z, distortion) for z in theirs])
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    for one in (value, expected):
        one.square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("count", "width", "distortion"), SHAPES)
def test_across_is_within_the_other_way_round(count: int, width: int, distortion: float) -> None:
    ours, theirs = (tokens(count, width, rows=5).requires_grad_() for _ in range(2))
    value = across(ours, distortion)
    expected = within(theirs.transpose(0, 1), distortion)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
    for one in (value, expected):
        one.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-8, atol=1e-10)


def test_the_gradient_is_its_formula() -> None:
    """dR/dZ = a (I + a Z Z^T)^-1 Z for unit vectors, less what would change their length."""
    z = torch.nn.functional.normalize(tokens(8, 64)[0], dim=-1).requires_grad_()
    within(z, 0.5).backward()
    a = 64 / (8 * 0.5)
    formula = a * torch.linalg.solve(torch.eye(8) + a * z @ z.T, z)
    along = (formula * z).sum(-1, keepdim=True) * z
    torch.testing.assert_close(z.grad, (formula - along).detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("distortion", "most", "least"),
    [
        (0.5, 16.697549, 3.120138),
        (0.2, 20.325617, 3.577698),
        (0.05, 25.852118, 4.270553),
        (0.01, 32.284874, 5.075193),
    ],
)
def test_right_angles_and_repetition(distortion: float, most: float, least: float) -> None:
    assert highest(8, 256, distortion) == pytest.approx(most, abs=1e-6)
    assert lowest(256, distortion) == pytest.approx(least, abs=1e-6)
    apart, alike = 7 * torch.eye(256)[:8], torch.full((8, 256), 0.3)
    assert within(apart, distortion).item() == pytest.approx(most, rel=1e-5)
    assert within(alike, distortion).item() == pytest.approx(least, rel=1e-4)
    assert across(apart[:, None], distortion).tolist() == pytest.approx([most], rel=1e-5)


def test_more_vectors_than_directions() -> None:
    frame = torch.cat((torch.eye(4), -torch.eye(4), torch.eye(4))).double()
    assert within(frame, 0.2).item() == pytest.approx(2 * math.log(1 + 1 / 0.2), rel=1e-9)
    assert highest(12, 4, 0.2) == pytest.approx(2 * math.log(6), rel=1e-9)
    assert highest(4, 4, 0.2) == pytest.approx(2 * math.log(6), rel=1e-9)


def test_one_cosine_between_all() -> None:
    k, d, a = 6, 32, 32 / (6 * 0.5)
    rates = []
    for rho in (0.0, 0.3, 0.9, 1.0):
        gram = torch.full((k, k), rho, dtype=torch.float64).fill_diagonal_(1 + 1e-12)
        z = torch.nn.functional.pad(torch.linalg.cholesky(gram), (0, d - k))
        expected = math.log(1 + a * (1 + (k - 1) * rho)) / 2 + (k - 1) / 2 * math.log(1 + a * (1 - rho))
        assert within(z, 0.5).item() == pytest.approx(expected, rel=1e-9)
        rates.append(expected)
    assert rates == sorted(rates, reverse=True)


def test_what_it_does_not_see() -> None:
    z, random = tokens(8, 32)[0], torch.Generator().manual_seed(1)
    turn = torch.linalg.qr(torch.randn(32, 32, generator=random, dtype=torch.float64)).Q
    sign = torch.tensor([1, -1, 1, 1, -1, 1, -1, -1])[:, None]
    length = torch.rand(8, 1, generator=random, dtype=torch.float64) + 0.1
    for other in (z @ turn, z[torch.randperm(8, generator=random)], z * sign, z * length):
        torch.testing.assert_close(within(other, 0.5), within(z, 0.5), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("near", [0.0, 1e-3, 1.0])
@pytest.mark.parametrize("distortion", [0.5, 0.05, 0.01])
def test_fp32_suffices_and_autocast_does_not_reach_it(near: float, distortion: float) -> None:
    """A Gram matrix in bfloat16 is off by up to 2 nats here."""
    z = (torch.ones(256) + near * tokens(8, 256)).float()
    with torch.autocast("cpu", torch.bfloat16):
        value = within(z, distortion)
        placed = across(z.transpose(0, 1), distortion)
    assert value.dtype == placed.dtype == torch.float32
    expected = torch.stack([definition(one, distortion) for one in z.double()])
    torch.testing.assert_close(value.double(), expected, rtol=0, atol=5e-4)
    torch.testing.assert_close(placed.double(), expected, rtol=0, atol=5e-3)  # on the long side: 256 factors
    assert within(z.bfloat16(), distortion).dtype == torch.float32


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_broken_never_looks_like_a_number(broken: float) -> None:
    z = tokens(4, 16).float()
    z[1, 2, 3] = broken
    assert within(z, 0.5).isfinite().tolist() == [True, False, True]
    assert across(z, 0.5).isfinite().tolist() == [True, True, False, True]


def test_a_factorisation_that_fails_is_not_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Gram matrix of numbers makes it fail, so the identity is taken away, as rounding to bfloat16 does."""
    monkeypatch.setattr(torch, "eye", lambda *size, **kind: -2 * torch.ones(size[0], **kind).diag())
    assert within(tokens(4, 4), 1e3).isnan().all()


def test_the_gradient_pushes_tokens_apart() -> None:
    z = (torch.ones(4, 16) + 0.01 * tokens(4, 16)[0].float()).requires_grad_()
    optimizer = torch.optim.SGD([z], lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        (-within(z, 0.5)).backward()
        optimizer.step()
    unit = torch.nn.functional.normalize(z.detach(), dim=-1)
    assert (unit @ unit.T - torch.eye(4)).abs().max() < 0.02
    assert within(z, 0.5).item() == pytest.approx(highest(4, 16, 0.5), rel=1e-3)
