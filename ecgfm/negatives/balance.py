"""Weights under which no report is more often wrong than right, so that the text alone does not give the match away.

Let p(r) be how often training meets report r. A classifier that sees the text alone tells true reports from false ones
by the difference between p and the distribution of the false ones; where both are p it cannot. So among the pairs of a
true report q and a false one r we look for a joint distribution with both marginals p that keeps to the band:

    P(q, r) = p(q) p(r) v(r) k(q, r) / z(q),      z(q) = sum over r of p(r) v(r) k(q, r)

where k is 1 in the band, LEAK outside it, and 0 for equal texts. This is a matrix-scaling problem, solved by computing
z from v and v from z in turn (Sinkhorn), as long as no text is in more than half of the records.
"""

import numpy as np
from jaxtyping import Float16, Float32, Float64, Int64, Num

from ecgfm.negatives.band import LEAK, Band
from ecgfm.negatives.index import alike

_SAMPLE = 4096  # reports, drawn as training meets them, that stand for all: z and v are then known to about 2 %
_ROUNDS = 30  # marginals are then equal to 1e-4 and better, on real and on synthetic reports
_CHUNK = 4096


def balanced(
    vectors: Float16[np.ndarray, "report d"], use: Num[np.ndarray, "report"], low: float = 0.0, high: float = 0.5
) -> Band:
    """`use` is how often training meets each report. `low` and `high` are shares of all pairs that training can make,
    in the order of their similarity: 0 and 0.5 are the less similar half."""
    band = bounds(vectors, use, low, high)
    return Band.of(vectors, weights(vectors, use, *band), *band)


def bounds(
    vectors: Float16[np.ndarray, "report d"], use: Num[np.ndarray, "report"], low: float, high: float
) -> tuple[float, float]:
    """The similarities at these shares of the pairs of different texts; 0 and 1 are no bounds."""
    typical, p = _typical(use)
    text = alike(vectors)[typical]
    different = text[:, None] != text
    similarity, share = _similarity(vectors, typical, typical)[different], np.outer(p, p)[different]
    order = np.argsort(similarity)
    below = np.cumsum(share[order])
    lowest, highest = similarity[order[np.searchsorted(below[:-1], [low * below[-1], high * below[-1]])]]
    return float(lowest) if low > 0 else -np.inf, float(highest) if high < 1 else np.inf


def weights(
    vectors: Float16[np.ndarray, "report d"], use: Num[np.ndarray, "report"], low: float, high: float
) -> Float64[np.ndarray, "report"]:
    """p v for every report, from the solution for a sample of them."""
    typical, p = _typical(use)
    text = alike(vectors)

    def kernel(some: Int64[np.ndarray, "some"]) -> Float32[np.ndarray, "some typical"]:
        similarity = _similarity(vectors, some, typical)
        k = np.where((similarity >= low) & (similarity <= high), np.float32(1), np.float32(LEAK))
        return k * (text[some, None] != text[typical])

    k, z = kernel(typical), np.ones(len(typical))
    for _ in range(_ROUNDS):
        v = 1 / _bounded(k @ (p / z))
        z = _bounded(k @ (p * v))
    chunks = np.split(np.arange(len(use)), range(_CHUNK, len(use), _CHUNK))
    return use / _bounded(np.concatenate([kernel(some) @ (p / z) for some in chunks]))


def _typical(use: Num[np.ndarray, "report"]) -> tuple[Int64[np.ndarray, "typical"], Float64[np.ndarray, "typical"]]:
    """Reports at even distances in the training records, and the share of each; all of them where they are few."""
    reports, times = np.flatnonzero(use), use[use > 0]
    if len(reports) > _SAMPLE:
        ends = np.cumsum(use)
        middles = (np.arange(_SAMPLE) + 0.5) / _SAMPLE * ends[-1]
        reports, times = np.unique(np.searchsorted(ends, middles, side="right"), return_counts=True)
    return reports, times / times.sum()


def _similarity(
    vectors: Float16[np.ndarray, "report d"], one: Int64[np.ndarray, "one"], other: Int64[np.ndarray, "other"]
) -> Float32[np.ndarray, "one other"]:
    return vectors[one].astype(np.float32) @ vectors[other].astype(np.float32).T


def _bounded(x: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """Finite factors also where a text is in more than half of the records, and finds too few others."""
    return np.maximum(x, 1e-3)
