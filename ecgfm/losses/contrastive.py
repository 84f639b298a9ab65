"""Contrasts of ECGs and texts over the world batch, a chunk of rows at a time, in fp32.

    sigmoid    1/B sum_i sum_j log(1 + exp(-z_ij (t x_i . y_j + b)))                                         SigLIP
    softmax    1/P sum_i -log(exp(t x_i . y_i) / sum_j |z_ij| exp(t x_i . y_j)), and the same from y to x    InfoNCE

with z = +1 for a pair, -1 for none, 0: does not count, and P the rows that have a pair. Chunks give their gradients
while they are there, so neither logits nor labels of B x B are ever held: memory is that of the features.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from ecgfm.losses.gather import gather, rank, total, world

Labels = Callable[[slice], Float[Tensor, "R N"]]
Cost = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # of z and logits: the loss, and its slope by each logit


def sigmoid(
    x: Float[Tensor, "B D"],
    y: Float[Tensor, "B D"],
    labels: Labels,
    scale: Float[Tensor, "1"] | None = None,
    bias: Float[Tensor, "1"] | None = None,
    chunk: int = 512,
) -> Float[Tensor, ""]:
    """The rows of `x` against the `y` of all ranks. `labels` gives z for a slice of this rank's rows.

    B counts the rows of the world batch: the loss of the same records does not depend on where they lie.
    """
    scale = x.new_ones(1) if scale is None else scale
    bias = x.new_zeros(1) if bias is None else bias
    return _contrast(x, y, scale, bias, labels, _odds, chunk) / len(x)


def softmax(
    x: Float[Tensor, "B D"], y: Float[Tensor, "B D"], labels: Labels, scale: Float[Tensor, "1"], chunk: int = 512
) -> Float[Tensor, ""]:
    """The mean of both directions. `labels` must read alike in both, as where no report was swapped."""
    both = sum(_contrast(*sides, scale, x.new_zeros(1), labels, _choice, chunk) for sides in ((x, y), (y, x)))
    return both / 2 * (world() / total(_pairs(labels, len(x), chunk)).clamp(min=1))


@torch.no_grad()
def information(
    x: Float[Tensor, "B D"], y: Float[Tensor, "B D"], labels: Labels, scale: Float[Tensor, "1"], chunk: int = 512
) -> Float[Tensor, ""]:
    """A lower bound on what the two sides tell of each other, in nats: log P - softmax, and so never above log P.

    It is one where every row is a candidate for every other, false negatives among them: `spare_same` False.
    """
    pairs = total(_pairs(labels, len(x), chunk)).clamp(min=1)
    return pairs.log() - softmax(x, y, labels, scale, chunk)


def pair_labels(
    report: Int64[Tensor, "B"],
    subject: Int64[Tensor, "B"],
    text_report: Int64[Tensor, "B"],
    text_subject: Int64[Tensor, "B"],
    swapped: Bool[Tensor, "B"],
    spare_same: bool,
) -> Labels:
    """z for ECGs of this rank against the texts of all: a row and its own report are a pair, unless it was swapped.

    With `spare_same`, an identical report and another report of the same subject are no negatives: they do not count.
    A text that is not there (-1) never counts.
    """
    reports, subjects = gather(text_report), gather(text_subject)
    own = torch.arange(len(report), device=report.device) + rank() * len(report)

    def labels(rows: slice) -> Float[Tensor, "R N"]:
        negative = reports.expand(len(report[rows]), -1) >= 0
        if spare_same:
            same_subject = (subject[rows, None] == subjects) & (subjects >= 0)
            negative = negative & ~same_subject & (report[rows, None] != reports)
        z = -negative.float()
        mine = own[rows, None]
        pair = ~swapped[rows, None] & (text_report[rows, None] >= 0)
        return z.scatter(1, mine, torch.where(pair, 1.0, z.gather(1, mine)))

    return labels


def _odds(z: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    margin = z * logits
    return (z.abs() * functional.softplus(-margin)).sum(), -z * torch.sigmoid(-margin)


def _choice(z: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Of one text for each row that has its own."""
    pair = (z > 0).to(logits.dtype)
    has = pair.sum(1, keepdim=True)
    logits = logits.masked_fill((z == 0) & (has > 0), -torch.inf)
    share = logits.log_softmax(1)
    own = torch.where(pair > 0, share, 0).sum()
    return -own, has * share.exp() - pair


def _pairs(labels: Labels, rows: int, chunk: int) -> Tensor:
    """How many of this rank's rows have a pair."""
    return torch.stack([(labels(slice(s, s + chunk)) > 0).sum() for s in range(0, rows, chunk)]).sum()


def _contrast(
    x: Tensor, y: Tensor, scale: Tensor, bias: Tensor, labels: Labels, cost: Cost, chunk: int
) -> Float[Tensor, ""]:
    """The sum over the rows of `x` against the `y` of all ranks."""
    precision = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        parts = x.to(precision), gather(y.to(precision)), scale.to(precision), bias.to(precision)
        return _Contrast.apply(*parts, labels, cost, chunk)


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, y: Tensor, scale: Tensor, bias: Tensor, labels: Labels, cost: Cost, chunk: int):
        loss = x.new_zeros(())
        gradients = [torch.zeros_like(part) for part in (x, y, scale, bias)] if any(ctx.needs_input_grad) else None
        for start in range(0, len(x), chunk):
            rows = slice(start, start + chunk)
            cosine = x[rows] @ y.T
            value, slope = cost(labels(rows), cosine * scale + bias)
            loss += value
            if gradients:
                gradients[0][rows] = scale * (slope @ y)
                gradients[1] += scale * (slope.T @ x[rows])
                gradients[2] += (slope * cosine).sum()
                gradients[3] += slope.sum()
        if gradients:
            ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    def backward(ctx, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        return *(upstream[0] * gradient for gradient in ctx.saved_tensors), None, None, None
