"""How good a way of choosing false reports is: whether the text alone gives the match away, how many reports it knows,
and how often what it takes for false is true.

A way of choosing is anything like `Band.choose`. It is measured on what training would show: in every epoch half of
the records, drawn anew, have a false report. A text-only classifier learns from the first half of the epochs and is
examined on the second; what counts is its AUC of true against false, and 0.5 is no shortcut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ecgfm.draw import uniform
from ecgfm.negatives.choose import Choice


@dataclass(frozen=True)
class Shown:
    """Records and the reports that were shown with them, one epoch after the other."""

    record: Int64[np.ndarray, "n"]
    report: Int64[np.ndarray, "n"]
    true: Bool[np.ndarray, "n"]

    @property
    def learnt(self) -> Bool[np.ndarray, "n"]:
        """Which a classifier learns from; it is examined on the others."""
        return np.arange(len(self.true)) < len(self.true) // 2


def show(choice: Choice, reports: Int64[np.ndarray, "record"], epochs: int, seed: int = 0) -> Shown:
    """`reports` is the true report of every training record."""
    records, shown, true = np.arange(len(reports)), [], []
    for epoch in range(epochs):
        true.append(uniform(seed, f"true/{epoch}", torch.from_numpy(records), 1).numpy()[:, 0] < 0.5)
        shown.append(np.where(true[-1], reports, choice(reports, records, seed, epoch)))
    return Shown(np.tile(records, epochs), np.concatenate(shown), np.concatenate(true))


@dataclass(frozen=True)
class Shortcut:
    """How well true and false reports are told apart without the ECG: as AUC, and of the first as accuracy too."""

    text: float  # by how often this very text was true and false before
    accuracy: float  # when a text is taken for what it was more often
    words: float  # by its words and pairs of words, through a logistic regression
    length: float  # by how often texts of so many words were true and false before


def shortcut(texts: Sequence[str], shown: Shown) -> Shortcut:
    length = np.array([len(text.split()) for text in texts])
    text = _remembered(shown.report, shown)
    return Shortcut(
        text=_auc(text, shown),
        accuracy=float(((text > 0) == shown.true)[~shown.learnt].mean()),
        words=_auc(_regression(texts, shown), shown),
        length=_auc(_remembered(length[shown.report], shown), shown),
    )


@dataclass(frozen=True)
class Variety:
    """Of reports in use. n reports in even use have an effective number of n."""

    distinct: int
    effective: float  # exp of the entropy
    top_ten: float  # share of the ten in most use


def variety(reports: Int64[np.ndarray, "n"]) -> Variety:
    share = np.sort(np.unique(reports, return_counts=True)[1] / len(reports))
    return Variety(len(share), float(np.exp(-(share * np.log(share)).sum())), float(share[-10:].sum()))


def true_after_all(
    found: Bool[np.ndarray, "record finding"], reports: Int64[np.ndarray, "record"], shown: Shown
) -> float:
    """Share of the false reports that say nothing false: what all records of that report have, this record has too, and
    neither or both have a finding at all."""
    said = np.ones((reports.max() + 1, found.shape[1]), bool)
    np.logical_and.at(said, reports, found)
    has, says = found[shown.record[~shown.true]], said[shown.report[~shown.true]]
    return float(((has | ~says).all(1) & (has.any(1) == says.any(1))).mean())


def _remembered(key: Int64[np.ndarray, "n"], shown: Shown) -> Float64[np.ndarray, "n"]:
    key = np.unique(key, return_inverse=True)[1]
    true, false = (
        np.bincount(key[shown.learnt & (shown.true == kind)], minlength=key.max() + 1) for kind in (True, False)
    )
    return np.log((true + 0.5) / (false + 0.5))[key]


def _regression(texts: Sequence[str], shown: Shown) -> Float64[np.ndarray, "n"]:
    """Fitted to each text once as true and once as false, weighted by how often it was: the same as all rows."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+").fit_transform(texts)
    times = np.bincount(2 * shown.report[shown.learnt] + shown.true[shown.learnt], minlength=2 * len(texts))
    rows = np.flatnonzero(times)
    model = LogisticRegression(max_iter=1000).fit(words[rows // 2], rows % 2, sample_weight=times[rows])
    return model.decision_function(words)[shown.report]


def _auc(score: Float64[np.ndarray, "n"], shown: Shown) -> float:
    return float(roc_auc_score(shown.true[~shown.learnt], score[~shown.learnt]))
