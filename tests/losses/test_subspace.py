"""Consistency between visits: closed forms, who is paired with whom, and that its gradient stays."""

from itertools import product

import pytest
import ranks
import torch
from torch import Tensor

from ecgfm.losses.gather import rank, total, world
from ecgfm.losses.spectrum import moments
from ecgfm.losses.subspace import consistency, visits

ROWS, WIDTH = 12, 5
SUBJECT = torch.tensor([3, 3, 7, 8, 7, -1, -1, 3, 9, 8, 7, 7])
RECORD = torch.tensor([10, 4, 5, 6, 1, 2, 3, 11, 12, 14, 9, 20])


def normal(rows: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def basis(width: int, seed: int) -> Tensor:
    return torch.linalg.qr(normal(width, width, seed))[0]


def test_a_subject_s_records_go_two_by_two_in_the_order_of_their_numbers() -> None:
    first, second = visits(SUBJECT, RECORD)
    assert {*RECORD[first].tolist()} == {4, 1, 9, 6}  # of subject 3: 4 with 10, 11 is odd; of 7: 1 with 5, 9 with 20
    assert {*RECORD[second].tolist()} == {10, 5, 20, 14}
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    turned = visits(SUBJECT[order], RECORD[order])
    assert torch.equal(turned[0], first[order])
    assert torch.equal(turned[1], second[order])


def test_the_same_record_twice_is_no_pair() -> None:
    second = visits(torch.tensor([1, 1]), torch.tensor([5, 5]))[1]
    assert not second.any()
    assert not moments(normal(2, 3), second)[1].any()


@pytest.mark.parametrize(("k", "width"), [(1, 6), (3, 10), (5, 12)])
def test_of_projectors_it_is_the_mean_squared_sine_of_their_angles(k: int, width: int) -> None:
    one, two = basis(width, 0)[:, :k], basis(width, 1)[:, :k]
    sines = 1 - torch.linalg.svdvals(one.T @ two).clamp(max=1).square()
    made = consistency(one @ one.T, two @ two.T)
    torch.testing.assert_close(made, sines.mean())
    turn = basis(k, 2)  # another basis of the same subspace
    torch.testing.assert_close(consistency((one @ turn) @ (one @ turn).T, two @ two.T), made, rtol=0, atol=1e-14)


def test_between_equal_and_apart() -> None:
    c = normal(20, 6).T.cov()
    wide = torch.zeros(12, 12, dtype=torch.float64)
    left, right = wide.clone(), wide.clone()
    left[:6, :6] = right[6:, 6:] = normal(6, 40).cov()
    assert consistency(c, c.clone()).item() == 0
    assert consistency(left, right).item() == pytest.approx(1)
    assert consistency(wide, wide).item() == 0
    torch.testing.assert_close(consistency(7 * left, 7 * (left + right)), consistency(left, left + right))


def projectors_apart(first: Tensor, second: Tensor, k: int) -> Tensor:
    """What is not trained on: the distance of the leading subspaces themselves."""
    one, two = (torch.linalg.eigh(c)[1][:, -k:] for c in (first, second))
    return k - (one.T @ two).square().sum()


def test_the_gradient_stays_where_that_of_angles_blows_up() -> None:
    turn, other = basis(8, 0), normal(8, 40).cov()
    ours, theirs = [], []
    for gap in (1e-1, 1e-3, 1e-5, 1e-7):
        eigenvalues = torch.cat((torch.full((3,), 1 + gap), torch.ones(5))).double()
        eigenvalues += 1e-9 * torch.arange(8)  # none quite equal: autograd divides by the differences
        for norms, loss in ((ours, consistency), (theirs, lambda a, b: projectors_apart(a, b, 3))):
            c = (turn @ eigenvalues.diag() @ turn.T).requires_grad_()
            norms.append(torch.autograd.grad(loss(c, other), c)[0].norm().item())
    assert max(ours) < 1.1 * min(ours)
    assert max(ours) < 1
    assert theirs[-1] > 1e4 * theirs[0]


def test_it_is_about_each_patient() -> None:
    """The mean over all ways to call a visit the first one, of which the module's docstring speaks."""
    a, b = normal(6, 3, 1), normal(6, 3, 2)

    def squares(ways: tuple[int, ...]) -> float:
        swapped = torch.tensor(ways, dtype=torch.bool)[:, None]
        sides = torch.where(swapped, b, a), torch.where(swapped, a, b)
        mirrored = [torch.cat((side, -side)) for side in sides]  # so that the mean is zero whatever the way
        one, two = (moments(x, torch.ones(12, dtype=torch.bool))[1] for x in mirrored)
        return (consistency(one, two) * (one.square().sum() + two.square().sum())).item()

    ways = [squares(w) for w in product((0, 1), repeat=6)]
    each = sum((torch.outer(x, x) - torch.outer(y, y)).square().sum().item() for x, y in zip(a, b, strict=True))
    assert sum(ways) / len(ways) == pytest.approx(each / 36)


def compute() -> tuple[Tensor, Tensor, Tensor]:
    """Value, which rows are paired, and the gradient as an engine that averages over ranks sees it."""
    part = slice(rank() * ROWS // world(), (rank() + 1) * ROWS // world())
    x = normal(ROWS, WIDTH)[part].requires_grad_()
    pairs = visits(SUBJECT[part], RECORD[part])
    value = consistency(*(moments(x, rows)[1] for rows in pairs))
    value.backward()
    assert x.grad is not None
    return total(value.detach()) / world(), torch.stack(pairs, 1), x.grad / world()


@pytest.mark.parametrize("count", [2, 3])
def test_ranks_are_one_batch(count: int) -> None:
    (value, pairs, gradient), parts = compute(), ranks.run(count, compute)
    assert 0 < value < 1
    for part in parts:
        torch.testing.assert_close(part[0], value)
    assert torch.equal(torch.cat([part[1] for part in parts]), pairs)  # though a pair lies on two ranks
    torch.testing.assert_close(torch.cat([part[2] for part in parts]), gradient)
