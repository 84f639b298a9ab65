"""The other choice of a false report: one whose similarity to the true one lies in a band, drawn by weight.

Drawing needs no list: propose by weight, take the first proposal that lies in the band. One that lies outside is taken
one time in a hundred: only then do weights that balance true and false uses always exist. balance.py finds them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float16, Float32, Float64, Int64, Num

from ecgfm.draw import uniform
from ecgfm.negatives.index import alike

LEAK = 0.01  # how much rarer a pair outside the band is than it would be in it
_TOTAL = 2**40  # weights become whole numbers of this sum, so that a draw has no rounding
_ATTEMPTS, _AT_ONCE = 32, 4


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
        """A false report for each; for a record without a report (-1) none. Where no proposal is taken it is the least
        similar of them, and never one of the same text."""
        chosen, least = np.full(len(reports), -1), np.full(len(reports), np.inf, np.float32)
        rows = np.flatnonzero(reports >= 0)
        for attempt in range(_ATTEMPTS):
            u = uniform(seed, f"negative/{step}/{attempt}", torch.from_numpy(records[rows]), 3 * _AT_ONCE)
            coarse, fine, leak = np.split(u.double().numpy(), 3, axis=1)
            proposed = self._proposed(reports[rows], coarse + fine / 2**24)
            similarity = self._similarity(reports[rows], proposed)
            taken = ((similarity >= self.low) & (similarity <= self.high)) | (leak < LEAK)
            score = np.where(taken, -np.inf, similarity)
            best = score.argmin(1)[:, None]
            better = score.min(1) < least[rows]
            chosen[rows[better]] = np.take_along_axis(proposed, best, 1)[better, 0]
            least[rows] = np.minimum(least[rows], score.min(1))
            rows = rows[~taken.any(1)]
            if not len(rows):
                break
        return chosen

    def _proposed(self, reports: Int64[np.ndarray, "B"], u: Float64[np.ndarray, "B k"]) -> Int64[np.ndarray, "B k"]:
        """By weight, as if the report's own text were not there."""
        start, share = self.start[reports][:, None], self.share[reports][:, None]
        place = (u * (self.ends[-1] - share)).astype(np.int64)
        return self.order[np.searchsorted(self.ends, np.where(place >= start, place + share, place), side="right")]

    def _similarity(
        self, reports: Int64[np.ndarray, "B"], others: Int64[np.ndarray, "B k"]
    ) -> Float32[np.ndarray, "B k"]:
        one, many = self.vectors[reports].astype(np.float32), self.vectors[others].astype(np.float32)
        return np.einsum("bd,bkd->bk", one, many)
