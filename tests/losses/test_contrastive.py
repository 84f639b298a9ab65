"""The contrasts against their definitions, their closed forms, and the traps of others' implementations."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ecgfm.losses.contrastive import information, pair_labels, sigmoid, softmax

ROWS, WIDTH = 9, 6


def features(seed: int = 0, rows: int = ROWS, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return tuple(functional.normalize(torch.randn(rows, WIDTH, generator=random, dtype=dtype), dim=1) for _ in range(2))


def diagonal(rows: int = ROWS):
    return pair_labels(*ids(rows), spare_same=True)


def ids(rows: int) -> tuple[Tensor, ...]:
    """Distinct reports and subjects, nothing swapped."""
    number = torch.arange(rows)
    return number, number, number, number, torch.zeros(rows, dtype=torch.bool)


def naive(x: Tensor, y: Tensor, z: Tensor, scale: float, bias: float) -> Tensor:
    loss = torch.zeros((), dtype=torch.float64)
    for i in range(len(x)):
        for j in range(len(y)):
            if z[i, j]:
                loss = loss - torch.log(1 / (1 + torch.exp(-z[i, j] * (scale * (x[i] @ y[j]) + bias))))
    return loss / len(x)


@pytest.mark.parametrize("chunk", [1, 2, 4, 9, 100])
def test_it_is_its_definition_for_any_chunk(chunk: int) -> None:
    report = torch.tensor([0, 0, 2, 3, 4, 5, 2, 7, -1])
    labels = pair_labels(report, torch.arange(9), report, torch.arange(9), torch.arange(9) % 4 == 3, spare_same=True)
    leaves = [*features(), torch.tensor([3.0]).double(), torch.tensor([-2.0]).double()]
    ours, theirs = ([leaf.clone().requires_grad_() for leaf in leaves] for _ in range(2))
    value = sigmoid(ours[0], ours[1], labels, ours[2], ours[3], chunk=chunk)
    expected = naive(theirs[0], theirs[1], labels(slice(None)).double(), theirs[2], theirs[3])
    torch.testing.assert_close(value, expected.squeeze())
    value.backward(torch.tensor(2.0))
    (2 * expected).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_gradcheck() -> None:
    leaves = [*features(), torch.tensor([2.0]).double(), torch.tensor([-1.0]).double()]
    for leaf in leaves:
        leaf.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y, t, b: sigmoid(x, y, diagonal(), t, b, chunk=4), leaves)


@pytest.mark.parametrize(
    ("rows", "bias", "expected"),
    [(256, -10, 10.0116), (1024, -10, 10.0465), (256, 0, 256 * math.log(2)), (256, -math.log(255), 6.543)],
)
def test_closed_form_of_features_at_right_angles(rows: int, bias: float, expected: float) -> None:
    x, y = torch.zeros(2, rows, 2)
    x[:, 0] = y[:, 1] = 1.0
    value = sigmoid(x, y, diagonal(rows), torch.tensor([10.0]), torch.tensor([float(bias)]))
    assert value.item() == pytest.approx(expected, rel=1e-4)
    assert value.item() == pytest.approx(
        math.log1p(math.exp(-bias)) + (rows - 1) * math.log1p(math.exp(bias)), rel=1e-5
    )


def test_order_of_records_does_not_matter() -> None:
    x, y = features()
    order = torch.randperm(ROWS)
    torch.testing.assert_close(sigmoid(x, y, diagonal()), sigmoid(x[order], y[order], diagonal()))


def test_an_unrelated_block_adds_negatives_only() -> None:
    """B doubled by a far block: each row gets B more negatives, and nothing else changes."""
    scale, bias = torch.tensor([5.0]).double(), torch.tensor([-1.0]).double()
    near, far = (
        functional.pad(torch.stack(features()), (0, WIDTH)),
        functional.pad(torch.stack(features(1)), (WIDTH, 0)),
    )
    x, y = torch.cat((near, far), dim=1)
    alone = (sigmoid(*near, diagonal(), scale, bias) + sigmoid(*far, diagonal(), scale, bias)) / 2
    torch.testing.assert_close(
        sigmoid(x, y, diagonal(2 * ROWS), scale, bias), alone + ROWS * functional.softplus(bias).squeeze()
    )


def test_identical_reports_and_same_subjects_are_no_negatives() -> None:
    report, subject = torch.tensor([7, 7, 8, 9]), torch.tensor([1, 2, 3, 3])
    nothing = torch.zeros(4, dtype=torch.bool)
    z = pair_labels(report, subject, report, subject, nothing, spare_same=True)(slice(None))
    assert z.tolist() == [[1, 0, -1, -1], [0, 1, -1, -1], [-1, -1, 1, 0], [-1, -1, 0, 1]]
    z = pair_labels(report, subject, report, subject, nothing, spare_same=False)(slice(None))
    assert z.tolist() == (2 * torch.eye(4) - 1).tolist()


def test_a_swapped_report_is_a_negative_and_belongs_to_nobody() -> None:
    report, subject = torch.tensor([5, 6, 7]), torch.tensor([1, 1, 2])
    text_report, swapped = torch.tensor([7, 6, 7]), torch.tensor([True, False, False])
    text_subject = torch.where(swapped, -1, subject)
    z = pair_labels(report, subject, text_report, text_subject, swapped, spare_same=True)(slice(None))
    # Row 1 and text 0: a report of nobody, so a negative, though the subjects of rows 0 and 1 are one.
    # Row 2 and text 0: row 2's own report in another place, so no negative.
    assert z.tolist() == [[-1, 0, -1], [-1, 1, -1], [0, -1, 1]]


def test_a_missing_report_does_not_count() -> None:
    report = torch.tensor([0, -1, -1])
    labels = pair_labels(report, torch.arange(3), report, torch.arange(3), torch.zeros(3, dtype=torch.bool), True)
    assert labels(slice(None)).tolist() == [[1, 0, 0], [-1, 0, 0], [-1, 0, 0]]


def test_memory_is_that_of_the_features() -> None:
    """No tensor of B x B is kept for backward, nor one of chunk x B."""
    rows, kept = 2000, []
    x, y = (side.float().requires_grad_() for side in features(rows=rows))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t.numel()), t)[1], lambda t: t):
        sigmoid(x, y, diagonal(rows), chunk=100).backward()
    assert sum(kept) <= 3 * rows * WIDTH


def test_autocast_changes_nothing() -> None:
    x, y = (side.float() for side in features())
    with torch.autocast("cpu", torch.bfloat16):
        inside = sigmoid(x, y, diagonal())
    assert inside.dtype == torch.float32
    assert inside == sigmoid(x, y, diagonal())
    assert sigmoid(x.bfloat16(), y.bfloat16(), diagonal()).dtype == torch.float32


def naive_softmax(x: Tensor, y: Tensor, z: Tensor, scale: Tensor) -> Tensor:
    """The rows with a pair, each among the columns that count; from x to y, and from y to x."""
    losses = []
    pairs = (z.diagonal() > 0).nonzero()[:, 0].tolist()
    for logits in (scale * x @ y.T, scale * y @ x.T):
        losses += [torch.logsumexp(logits[i, z[i] != 0], 0) - logits[i, i] for i in pairs]
    return torch.stack(losses).mean()


@pytest.mark.parametrize("spare", [True, False])
@pytest.mark.parametrize("chunk", [1, 4, 9, 100])
def test_softmax_is_its_definition_for_any_chunk(chunk: int, spare: bool) -> None:
    report, subject = torch.tensor([0, 0, 2, 3, 4, 5, 2, 7, -1]), torch.tensor([0, 1, 2, 3, 3, 5, 6, 7, 8])
    labels = pair_labels(report, subject, report, subject, torch.zeros(9, dtype=torch.bool), spare_same=spare)
    leaves = [*features(), torch.tensor([3.0]).double()]
    ours, theirs = ([leaf.clone().requires_grad_() for leaf in leaves] for _ in range(2))
    value = softmax(ours[0], ours[1], labels, ours[2], chunk=chunk)
    expected = naive_softmax(theirs[0], theirs[1], labels(slice(None)), theirs[2])
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_softmax_is_torch_s_cross_entropy_where_all_are_distinct() -> None:
    x, y = features()
    logits, own = 7 * x @ y.T, torch.arange(ROWS)
    expected = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(softmax(x, y, diagonal(), torch.tensor([7.0]).double()), expected)


def test_softmax_of_rows_without_reports_is_nothing() -> None:
    report = torch.full((ROWS,), -1)
    labels = pair_labels(report, report, report, report, torch.zeros(ROWS, dtype=torch.bool), spare_same=True)
    x, y = (side.requires_grad_() for side in features())
    value = softmax(x, y, labels, torch.ones(1).double())
    value.backward()
    assert value == 0
    assert not x.grad.any()


def test_softmax_keeps_the_features_alone() -> None:
    rows, kept = 2000, []
    x, y = (side.float().requires_grad_() for side in features(rows=rows))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t.numel()), t)[1], lambda t: t):
        softmax(x, y, diagonal(rows), torch.ones(1), chunk=100).backward()
    assert sum(kept) <= 5 * rows * WIDTH


def test_softmax_in_autocast_is_fp32() -> None:
    x, y = (side.float() for side in features())
    with torch.autocast("cpu", torch.bfloat16):
        inside = softmax(x, y, diagonal(), torch.ones(1))
    assert inside == softmax(x, y, diagonal(), torch.ones(1))


def test_information_of_strangers_is_nothing_and_of_twins_the_log_of_their_number() -> None:
    rows = 256
    wide = functional.normalize(torch.randn(rows, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    strangers = wide[torch.randperm(rows, generator=torch.Generator().manual_seed(1))]
    every = pair_labels(*ids(rows), spare_same=False)
    assert -1 < information(wide, strangers, every, torch.tensor([5.0])).item() <= 0.02
    assert information(wide, wide, every, torch.tensor([100.0])).item() == pytest.approx(math.log(rows), abs=1e-3)


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_information_never_passes_the_log_of_the_candidates(scale: float) -> None:
    """Not even where most records have no report or share one."""
    report = torch.tensor([0, 0, 0, 3, 4, -1, -1, -1, -1])
    labels = pair_labels(report, report, report, report, torch.zeros(9, dtype=torch.bool), spare_same=False)
    same = functional.normalize(torch.eye(9), dim=1)
    value = information(same, same, labels, torch.tensor([scale])).item()
    assert value <= math.log(5) + 1e-6
    assert value == pytest.approx(math.log(5), abs=1e-3) or scale == 1.0
