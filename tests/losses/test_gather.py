"""Every loss: one process or several, the same value and the same gradient of everything."""

import pytest
import ranks
import torch
from torch import Tensor

from ecgfm.losses import contrastive, masked, rate, variance
from ecgfm.losses.gather import gather, rank, summed, total, world

ROWS, WIDTH = 12, 5


def inputs() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        "x": torch.randn(ROWS, WIDTH, generator=random, dtype=torch.float64),
        "y": torch.randn(ROWS, WIDTH, generator=random, dtype=torch.float64),
        "report": torch.randint(-1, 6, (ROWS,), generator=random),
        "subject": torch.randint(0, 8, (ROWS,), generator=random),
        "swapped": torch.rand(ROWS, generator=random) < 0.3,
        "weight": torch.rand(ROWS, generator=random) < 0.6,
    }


def losses(x: Tensor, y: Tensor, scale: Tensor, bias: Tensor, own: dict[str, Tensor]) -> dict[str, Tensor]:
    text_subject = torch.where(own["swapped"], -1, own["subject"])
    terms = {}
    for spare in (True, False):
        labels = contrastive.pair_labels(
            own["report"], own["subject"], own["report"], text_subject, own["swapped"], spare
        )
        terms[f"contrast, {spare=}"] = contrastive.sigmoid(x, y, labels, scale.exp(), bias, chunk=5)
        none = torch.zeros_like(own["swapped"])
        labels = contrastive.pair_labels(own["report"], own["subject"], own["report"], own["subject"], none, spare)
        terms[f"softmax, {spare=}"] = contrastive.softmax(x, y, labels, scale.exp(), chunk=5)
        information = contrastive.information(x, y, labels, scale.exp())
        terms[f"information, {spare=}"] = information + x.mean()  # it has no gradient
    terms["variance"] = variance.variance(0.5 * x) + variance.variance(0.1 * y)
    terms["covariance"] = variance.covariance(x) + 2 * variance.covariance(y)
    terms["invariance"] = variance.invariance(x, y)
    terms["mean"] = masked.mean(x.square().sum(1), own["weight"])
    terms["rate"] = rate.across(x, 0.5) + rate.across(y[:, None].expand(-1, 2, -1), 0.5).sum()
    terms["summed moment"] = torch.linalg.matrix_norm(summed(x.T @ y))
    terms["moment"] = torch.linalg.matrix_norm(gather(x).T @ gather(y))  # as a method that looks at all rows would
    return terms


def compute() -> dict[str, tuple[Tensor, ...]]:
    """Of each loss: its value, and its gradients as an engine that averages over ranks sees them."""
    part = slice(rank() * ROWS // world(), (rank() + 1) * ROWS // world())
    own = {name: value[part] for name, value in inputs().items()}
    results = {}
    for name in losses(own["x"], own["y"], torch.zeros(1), torch.zeros(1), own):
        leaves = [own["x"], own["y"], torch.tensor([0.3]).double(), torch.tensor([-1.0]).double()]
        leaves = [leaf.clone().requires_grad_() for leaf in leaves]
        value = losses(*leaves, own)[name]
        value.backward()
        gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
        rows = [gradient / world() for gradient in gradients[:2]]
        results[name] = (total(value) / world(), *rows, *(total(g) / world() for g in gradients[2:]))
    return results


@pytest.mark.parametrize("count", [2, 3])
def test_ranks_are_one_batch(count: int) -> None:
    whole, parts = compute(), ranks.run(count, compute)
    for name, (value, x, y, scale, bias) in whole.items():
        assert x.abs().sum() > 0
        for part in parts:
            torch.testing.assert_close(part[name][0], value)
            torch.testing.assert_close((part[name][3], part[name][4]), (scale, bias))
        torch.testing.assert_close(torch.cat([part[name][1] for part in parts]), x)
        torch.testing.assert_close(torch.cat([part[name][2] for part in parts]), y)


def rounded(to: torch.dtype) -> tuple[Tensor, ...]:
    """The gradients of this rank's rows, of inputs that bf16 holds, in this precision."""
    part = slice(rank() * ROWS // world(), (rank() + 1) * ROWS // world())
    own = {name: value[part] for name, value in inputs().items()}
    labels = contrastive.pair_labels(*(own[name] for name in ("report", "subject") * 2), own["swapped"], False)
    leaves = [own[name].bfloat16().to(to).requires_grad_() for name in ("x", "y")]
    (contrastive.sigmoid(*leaves, labels) / world()).backward()
    return tuple(leaf.grad for leaf in leaves if leaf.grad is not None)


def test_gradients_in_bf16_are_summed_over_ranks_before_they_are_rounded() -> None:
    exact, parts = rounded(torch.float64), ranks.run(3, rounded, torch.bfloat16)
    for side, expected in enumerate(exact):
        found = torch.cat([part[side] for part in parts])
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.double(), expected, rtol=1.01 * 2**-8, atol=0)  # half of the last of 8 bits
