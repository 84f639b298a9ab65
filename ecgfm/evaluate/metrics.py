"""Figures over labels, with intervals: each is a function of weights over records, and resampling is weights.

A bootstrap draws subjects, not records, with replacement: records of one subject are alike, and intervals that forget
it are too narrow. Column 0 of the weights is all ones, and so row 0 of every figure is its value. A draw in which no
record has a label, or every one has it, gives nan there, and the mean over labels is over the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64
from scipy.special import stdtrit

from ecgfm import draw

DRAWS = 1000
_AT_ONCE = 1 << 24  # numbers of a piece of work
_SURE = 0.95

Scores = Float[np.ndarray, "n k"]
Labels = Bool[np.ndarray, "n k"]
Weights = Float32[np.ndarray, "n m"]  # whole numbers: their sums are exact


def resample(subject: Int64[np.ndarray, "n"], draws: int = DRAWS, seed: int = 0) -> Float32[np.ndarray, "n m"]:
    """How often each record comes in each draw of as many subjects as there are; column 0: once."""
    subjects, of = np.unique(subject, return_inverse=True)
    chosen = draw.generator("bootstrap", seed).integers(len(subjects), size=(draws, len(subjects)))
    counts = np.ones((len(subjects), draws + 1), np.float32)
    for i, drawn in enumerate(chosen, 1):
        counts[:, i] = np.bincount(drawn, minlength=len(subjects))
    return counts[of]


def auc(scores: Scores, labels: Labels, weights: Weights) -> Float64[np.ndarray, "m k"]:
    """Area under the ROC curve: how often one that has the label scores above one that has not; ties count half."""

    def area(score: np.ndarray, has: np.ndarray, weight: np.ndarray) -> np.ndarray:
        others, own, mine = np.sort(score[~has]), score[has], weight[has]
        below = _sums(weight[~has][np.argsort(score[~has], kind="stable")])
        left, right = (below[np.searchsorted(others, own, side)] for side in ("left", "right"))
        pairs = mine.sum(0, dtype=np.float64) * below[-1]
        return np.einsum("pm,pm->m", mine, left + right, dtype=np.float64) / 2 / _or_nan(pairs)

    return _by_label(area, scores, labels, weights)


def average_precision(scores: Scores, labels: Labels, weights: Weights) -> Float64[np.ndarray, "m k"]:
    """The mean, over those that have the label, of the precision from their score upwards."""

    def mean(score: np.ndarray, has: np.ndarray, weight: np.ndarray) -> np.ndarray:
        own, mine = score[has], weight[has]
        found, wrong = (
            _sums(weight[group][np.argsort(-score[group], kind="stable")])[
                np.searchsorted(np.sort(-score[group]), -own, "right")
            ]
            for group in (has, ~has)
        )
        precision = found / np.maximum(found + wrong, 1)
        return np.einsum("pm,pm->m", mine, precision, dtype=np.float64) / _or_nan(mine.sum(0, dtype=np.float64))

    return _by_label(mean, scores, labels, weights)


def f1(decided: Labels, labels: Labels, weights: Weights) -> Float64[np.ndarray, "m k"]:
    """Of calls that are made already."""
    right = weights.T @ (decided & labels).astype(np.float32)
    total = weights.T @ (decided.astype(np.float32) + labels)
    return 2 * right / _or_nan(total.astype(np.float64))


def thresholds(scores: Scores, labels: Labels) -> Float64[np.ndarray, "k"]:
    """For each label the score from which calling it gives the best F1; the lowest of equals."""
    best = np.empty(scores.shape[1])
    for i, (column, has) in enumerate(zip(scores.T, labels.T, strict=True)):
        levels = np.unique(column)
        below = np.searchsorted(np.sort(column), levels)
        found = has.sum() - np.searchsorted(np.sort(column[has]), levels)
        best[i] = levels[np.argmax(2 * found / (len(column) - below + has.sum()))]
    return best


def _by_label(
    figure: Callable[..., np.ndarray], scores: Scores, labels: Labels, weights: Weights
) -> Float64[np.ndarray, "m k"]:
    width = max(1, _AT_ONCE // max(1, len(scores)))
    pieces = [weights[:, first : first + width] for first in range(0, weights.shape[1], width)]
    columns = list(zip(scores.T, labels.T, strict=True))
    return np.concatenate([np.stack([figure(s, has, piece) for s, has in columns], axis=1) for piece in pieces])


def _sums(weights: Float32[np.ndarray, "n m"]) -> Float32[np.ndarray, "n+1 m"]:
    """The sum of the first 0, 1, ..., n rows."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]), np.float32)
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def _or_nan(total: Float64[np.ndarray, "*_"]) -> Float64[np.ndarray, "*_"]:
    return np.where(total, total, np.nan)


@dataclass(frozen=True)
class Figure:
    """A value and its interval: 95 in 100 of such intervals hold what they are about."""

    value: float
    low: float
    high: float
    seeds: tuple[float, ...] = ()  # the value of each, where there are several

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def json(self) -> dict[str, object]:
        return {name: part for name, part in asdict(self).items() if name != "seeds" or part}


def macro(by_label: Float64[np.ndarray, "m k"]) -> Float64[np.ndarray, "m"]:
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(by_label)
        return np.where(known, by_label, 0).sum(1) / known.sum(1)


def figure(runs: Sequence[Float64[np.ndarray, "m"]]) -> Figure:
    """Of one run or seed: the middle 95 % of its draws. Of several: their mean, and an interval from both sources of
    chance, the subjects (of whom all runs see the same draws) and the seeds, by Student's t with Welch's degrees of
    freedom: a few seeds say little where they disagree, and do no harm where they agree.
    """
    values, draws = np.array([run[0] for run in runs]), np.mean([run[1:] for run in runs], axis=0)
    if len(runs) == 1:
        low, high = np.nanquantile(draws, [(1 - _SURE) / 2, (1 + _SURE) / 2])
        return Figure(float(values[0]), float(low), float(high))
    subjects, seeds = np.nanvar(draws), values.var(ddof=1) / len(runs)
    freedom = (len(runs) - 1) * ((subjects + seeds) / seeds) ** 2 if seeds else np.inf
    reach = np.sqrt(subjects + seeds) * stdtrit(freedom, (1 + _SURE) / 2)
    middle = values.mean()
    return Figure(float(middle), float(middle - reach), float(middle + reach), tuple(values.tolist()))
