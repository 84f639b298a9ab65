"""The other choice of a false report: one whose similarity to the true one lies in a band, drawn by weight.

Drawing needs no list: propose by weight, take the first proposal that lies in the band. balance.py finds the weights.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float16, Float32, Int64, Num

from ecgfm.draw import uniform
from ecgfm.negatives.index import alike

_TOTAL = 2**40  # weights become whole numbers of this sum, so that a draw has no rounding
_ATTEMPTS, _AT_ONCE = 16, 4


@dataclass(frozen=True)
class Band:
    """Reports of similarity `low` to `high`. `order` holds them such that those of one text stand side by side."""

    vectors: Float16[np.ndarray, "report d"]
    low: float
    high: float
    order: Int64[np.ndarray, "report"]
    ends: Int64[np.ndarray, "report"]  # where the share of each ends, in that order
    start: Int64[np.ndarray, "report"]  # where the share of its text starts, by report
    share: Int64[np.ndarray, "report"]  # and how large it is

    @staticmethod
    def of(
        vectors: Float16[np.ndarray, "report d"], weight: Num[np.ndarray, "report"], low: float, high: float
    ) -> "Band":
        """Drawn in proportion to `weight`; never where it is 0."""
        whole = np.where(weight > 0, np.maximum(np.rint(weight / weight.sum() * _TOTAL), 1), 0).astype(np.int64)
        text = alike(vectors)
        order = np.argsort(text, kind="stable")
        share = np.bincount(text, whole).astype(np.int64)
        if (share > 0).sum() < 2:
            raise ValueError("false reports are asked of a table in which the training records have one text or none")
        return Band(vectors, low, high, order, np.cumsum(whole[order]), (np.cumsum(share) - share)[text], share[text])

    def choose(
        self, reports: Int64[np.ndarray, "B"], records: Int64[np.ndarray, "B"], seed: int, step: int
    ) -> Int64[np.ndarray, "B"]:
        """A false report for each; for a record without a report (-1) none. Where no proposal lies in the band it is
        the least similar of them, and never one of the same text."""
        chosen, least = np.full(len(reports), -1), np.full(len(reports), np.inf, np.float32)
        rows = np.flatnonzero(reports >= 0)
        for attempt in range(_ATTEMPTS):
            some = self._propose(reports[rows], records[rows], seed, f"negative/{step}/{attempt}")
            similarity = self._similarity(reports[rows], some)
            inside = (similarity >= self.low) & (similarity <= self.high)
            score = np.where(inside, -np.inf, similarity)
            best = score.argmin(1)[:, None]
            lower = score.min(1) < least[rows]
            chosen[rows[lower]] = np.take_along_axis(some, best, 1)[lower, 0]
            least[rows] = np.minimum(least[rows], score.min(1))
            rows = rows[~inside.any(1)]
        return chosen

    def _propose(
        self, reports: Int64[np.ndarray, "B"], records: Int64[np.ndarray, "B"], seed: int, purpose: str
    ) -> Int64[np.ndarray, "B k"]:
        """By weight, as if the report's own text were not there."""
        halves = uniform(seed, purpose, torch.from_numpy(records), 2 * _AT_ONCE).double().numpy()
        u = halves[:, :_AT_ONCE] + halves[:, _AT_ONCE:] / 2**24
        start, share = self.start[reports][:, None], self.share[reports][:, None]
        place = (u * (self.ends[-1] - share)).astype(np.int64)
        return self.order[np.searchsorted(self.ends, np.where(place >= start, place + share, place), side="right")]

    def _similarity(
        self, reports: Int64[np.ndarray, "B"], others: Int64[np.ndarray, "B k"]
    ) -> Float32[np.ndarray, "B k"]:
        one, many = self.vectors[reports].astype(np.float32), self.vectors[others].astype(np.float32)
        return np.einsum("bd,bkd->bk", one, many)
