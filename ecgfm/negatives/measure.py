"""How good a way of choosing false reports is: whether text alone gives the match away, how few reports it knows, and how
often the false report is true.

A way of choosing is anything like `Band.choose`. It is measured on what training would show: in every epoch half of the
records, drawn anew, with a false report. A text-only classifier learns from the first half of the epochs and is examined
on the second, as the AUC of true against false; 0.5 is no shortcut.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ecgfm.draw import uniform

Choice = Callable[[Int64[np.ndarray, "B"], Int64[np.ndarray, "B"], int, int], Int64[np.ndarray, "B"]]


@dataclass(frozen=True)
class Shown:
    """Records with the reports they were shown with, the epochs one after the other."""

    record: Int64[np.ndarray, "n"]
    report: Int64[np.ndarray, "n"]
    true: Bool[np.ndarray, "n"]

    @property
    def learnt(self) -> Bool[np.ndarray, "n"]:
        return np.arange(len(self.true)) < len(self.true) // 2


def show(choice: Choice, reports: Int64[np.ndarray, "record"], epochs: int, seed: int = 0) -> Shown:
    """`reports` is the true report of every training record."""
    records = np.arange(len(reports))
    false = [uniform(seed, f"false/{epoch}", torch.from_numpy(records), 1)[:, 0].numpy() < 0.5 for epoch in range(epochs)]
    report = [np.where(false[epoch], choice(reports, records, seed, epoch), reports) for epoch in range(epochs)]
    return Shown(np.tile(records, epochs), np.concatenate(report), ~np.concatenate(false))


@dataclass(frozen=True)
class Shortcut:
    """AUC of telling true from false without the ECG."""

    remembered: float  # by how often this very text was true and false before
    words: float  # by its words and word pairs, logistic regression
    length: float  # by how often texts of so many words were true and false before


def shortcut(texts: Sequence[str], shown: Shown) -> Shortcut:
    length = np.array([len(text.split()) for text in texts])
    return Shortcut(
        remembered=_lookup(shown.report, shown),
        words=_regression(texts, shown),
        length=_lookup(length[shown.report], shown),
    )


@dataclass(frozen=True)
class Variety:
    """Of the reports in use. An even use of n reports has an effective number of n."""

    distinct: int
    effective: float  # exp of the entropy
    top_ten: float  # share of the ten that are used most


def variety(reports: Int64[np.ndarray, "n"]) -> Variety:
    share = np.sort(np.unique(reports, return_counts=True)[1] / len(reports))
    return Variety(len(share), float(np.exp(-(share * np.log(share)).sum())), float(share[-10:].sum()))


def true_after_all(
    found: Bool[np.ndarray, "record finding"], reports: Int64[np.ndarray, "record"], shown: Shown
) -> float:
    """Share of the false reports that say nothing false: every finding that all records of that report have is found in
    this record too, and whether there is any at all agrees."""
    said = np.ones((reports.max() + 1, found.shape[1]), bool)
    np.logical_and.at(said, reports, found)
    record, report = shown.record[~shown.true], shown.report[~shown.true]
    agrees = found[record].any(1) == said[report].any(1)
    return float((agrees & (found[record] | ~said[report]).all(1)).mean())


def _lookup(key: Shaped[np.ndarray, "n"], shown: Shown) -> float:
    _, key = np.unique(key, return_inverse=True)
    true, false = (np.bincount(key[shown.learnt & (shown.true == is_true)], minlength=key.max() + 1) for is_true in (1, 0))
    score = np.log(true + 0.5) - np.log(false + 0.5)
    return _auc(shown, score[key])


def _regression(texts: Sequence[str], shown: Shown) -> float:
    """Fitted on each distinct text with its counts, which is the same as on all rows."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+").fit_transform(texts)
    times = np.bincount(2 * shown.report[shown.learnt] + shown.true[shown.learnt], minlength=2 * len(texts))
    rows = np.flatnonzero(times)
    model = LogisticRegression(C=1.0, max_iter=500).fit(words[rows // 2], rows % 2, sample_weight=times[rows])
    return _auc(shown, model.decision_function(words)[shown.report])


def _auc(shown: Shown, score: Float[np.ndarray, "n"]) -> float:
    return float(roc_auc_score(shown.true[~shown.learnt], score[~shown.learnt]))
