"""Weights under which no report is more often wrong than right, so that the text alone does not give the match away.

Let p(r) be how often training meets report r. A classifier that sees the text alone tells true reports from false
ones by the difference between p and the distribution of the false ones; where both are p it cannot. So among the pairs
of a true report q and a false one r whose similarity lies in the band we look for a joint distribution with both
marginals p:

    P(q, r) = p(q) p(r) v(r) [(q, r) in the band] / z(q),      z(q) = sum over r of p(r) v(r) [(q, r) in the band]

This is a matrix-scaling problem; computing z from v and v from z in turn solves it (Sinkhorn). It has no solution where
one text and its like make up most records, and then a part of the shortcut stays.
"""

import numpy as np
from jaxtyping import Bool, Float16, Float64, Int64, Num

from ecgfm.negatives.band import Band
from ecgfm.negatives.index import alike

_SAMPLE = 4096  # reports, drawn as training meets them, that stand for all: z and v are then known to about 2 %
_ROUNDS = 50
_CHUNK = 4096


def balanced(
    vectors: Float16[np.ndarray, "report d"], use: Num[np.ndarray, "report"], low: float = 0.0, high: float = 0.5
) -> Band:
    """`use` is how often training meets each report. `low` and `high` are shares of all pairs that training can make,
    in the order of their similarity: 0 and 0.5 are the less similar half."""
    lowest, highest = bounds(vectors, use, low, high)
    return Band.of(vectors, weights(vectors, use, lowest, highest), lowest, highest)


def bounds(
    vectors: Float16[np.ndarray, "report d"], use: Num[np.ndarray, "report"], low: float, high: float
) -> tuple[float, float]:
    """The similarities at these shares of the pairs of different texts."""
    typical, p = _typical(use)
    text = alike(vectors)[typical]
    one, other = np.nonzero(text[:, None] != text)
    similarity, share = _similarity(vectors, typical, typical)[one, other], p[one] * p[other]
    order = np.argsort(similarity)
    below = np.cumsum(share[order])
    at = np.searchsorted(below, [low * below[-1], high * below[-1]])
    inner = similarity[order[np.minimum(at, len(order) - 1)]]
    return float(inner[0]) if low > 0 else -np.inf, float(inner[1]) if high < 1 else np.inf


def weights(
    vectors: Float16[np.ndarray, "report d"], use: Num[np.ndarray, "report"], low: float, high: float
) -> Float64[np.ndarray, "report"]:
    """p v, for every report, from the solution for a sample of them."""
    typical, p = _typical(use)
    text = alike(vectors)

    def inside(some: Int64[np.ndarray, "some"]) -> Bool[np.ndarray, "some typical"]:
        similarity = _similarity(vectors, some, typical)
        return (similarity >= low) & (similarity <= high) & (text[some, None] != text[typical])

    band = inside(typical).astype(np.float32)
    v = np.ones(len(typical))
    for _ in range(_ROUNDS):
        z = _positive(band @ (p * v))
        v = 1 / _positive(band @ (p / z))
    chunks = np.split(np.arange(len(use)), range(_CHUNK, len(use), _CHUNK))
    return use / _positive(np.concatenate([inside(some) @ (p / z) for some in chunks]))


def _typical(use: Num[np.ndarray, "report"]) -> tuple[Int64[np.ndarray, "typical"], Float64[np.ndarray, "typical"]]:
    """Reports at even distances in the training records, and the share of each: all of them where they are few."""
    reports, times = np.flatnonzero(use), use[use > 0]
    if len(reports) > _SAMPLE:
        ends = np.cumsum(use)
        middles = (np.arange(_SAMPLE) + 0.5) / _SAMPLE * ends[-1]
        reports, times = np.unique(np.searchsorted(ends, middles, side="right"), return_counts=True)
    return reports, times / times.sum()


def _similarity(
    vectors: Float16[np.ndarray, "report d"], one: Int64[np.ndarray, "one"], other: Int64[np.ndarray, "other"]
) -> np.ndarray:
    return vectors[one].astype(np.float32) @ vectors[other].astype(np.float32).T


def _positive(x: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """A report with next to no partner in the band keeps a finite weight."""
    return np.maximum(x, 1e-3)
