"""How far simple measurements and full knowledge go: the floor and the ceiling between which every claim is set.

The floor is a detector on what a ruler gives: rate and its variation, intervals, and per-lead heights taken from a
median beat of the noisy signal. The ceiling is an oracle that is told each severity, but not how the machine's toss
fell.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

BEFORE, AFTER = 0.3, 0.5  # seconds of the median beat on either side of its R


def r_peaks(signal: Float32[np.ndarray, "12 time"], rate: float) -> Int[np.ndarray, "beat"]:
    """Where the steepness of all leads together peaks, against the highest peak of each second, 300 ms apart."""
    smooth = uniform_filter1d(signal, int(0.02 * rate), axis=1)
    step = int(0.02 * rate)
    slope = np.square(smooth[:, step:] - smooth[:, :-step]).sum(axis=0)
    energy = uniform_filter1d(slope, int(0.1 * rate))
    seconds = energy[: len(energy) // int(rate) * int(rate)].reshape(-1, int(rate))
    peaks, _ = find_peaks(energy, height=0.25 * np.median(seconds.max(axis=1)), distance=int(0.3 * rate))
    return peaks + step // 2


def median_beat(
    signal: Float32[np.ndarray, "12 time"], rate: float, peaks: Int[np.ndarray, "beat"]
) -> Float[np.ndarray, "12 window"]:
    before, after = int(BEFORE * rate), int(AFTER * rate)
    inside = peaks[(peaks >= before) & (peaks + after <= signal.shape[1])]
    if not len(inside):
        return np.zeros((12, before + after))
    return np.median(np.stack([signal[:, p - before : p + after] for p in inside]), axis=0)


def features(signal: Float32[np.ndarray, "12 time"], rate: float) -> Float[np.ndarray, "feature"]:
    """Rate and its variation, intervals in seconds, and per-lead heights in mV."""
    peaks = r_peaks(signal, rate)
    rr = np.diff(peaks) / rate if len(peaks) > 2 else np.ones(2)
    rhythm = [60 / rr.mean(), rr.std(), np.abs(np.diff(rr)).mean(), rr.min() / rr.mean(), rr.max() / rr.mean()]
    beat = uniform_filter1d(median_beat(signal, rate, peaks), int(0.01 * rate), axis=1)
    return np.concatenate([rhythm, _ruler(beat, rate)])


def _ruler(beat: Float[np.ndarray, "12 window"], rate: float) -> Float[np.ndarray, "measure"]:
    """PR, QRS and QT (to the peak of T), the P wave's height in II and V1, and Q, R, S, ST and T of every lead."""

    def ms(duration: float) -> int:
        return int(duration * rate / 1000)

    peak = int(BEFORE * rate)
    slope = np.abs(np.diff(beat, axis=1)).sum(axis=0)
    near = slice(peak - ms(100), peak + ms(120))
    steep = np.flatnonzero(slope[near] > 0.15 * slope.max()) + near.start
    onset, end = (steep[0], steep[-1]) if len(steep) else (peak, peak)
    beat = beat - np.median(beat[:, onset - ms(20) : onset + 1], axis=1, keepdims=True)
    p, qrs, t = beat[:, : onset - ms(40)], beat[:, onset : end + 1], beat[:, end + ms(100) :]
    p_peak, t_peak = np.abs(p[1]).argmax(), np.abs(t[1]).argmax()
    intervals = np.array([onset - p_peak, end - onset, end - onset + t_peak]) / rate
    q = qrs[:, : max(1, qrs.shape[1] // 3)].min(axis=1)
    st = beat[:, end + ms(60)]
    largest_t = t[np.arange(12), np.abs(t).argmax(axis=1)]
    heights = [q, qrs.max(axis=1), qrs.min(axis=1), st, largest_t]
    return np.concatenate([intervals, [p[1, p_peak], np.ptp(p[1]), np.ptp(p[6])], *heights])


class Measured(NamedTuple):
    """AUC on held-out subjects."""

    linear: float
    boosted: float
    oracle: float


def measure(
    train: Float[np.ndarray, "a feature"],
    train_labels: Mapping[str, Bool[np.ndarray, "a"]],
    test: Float[np.ndarray, "b feature"],
    test_labels: Mapping[str, Bool[np.ndarray, "b"]],
    severity: Mapping[str, Float[np.ndarray, "b"]],
) -> dict[str, Measured]:
    """Per finding: logistic regression and boosted trees on the features, and the oracle, which knows the severity."""
    result = {}
    for finding, labels in test_labels.items():
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=500))
        boosted = HistGradientBoostingClassifier(max_iter=80, learning_rate=0.08, max_leaf_nodes=8, random_state=0)
        scores = [m.fit(train, train_labels[finding]).predict_proba(test)[:, 1] for m in (linear, boosted)]
        result[finding] = Measured(*(float(roc_auc_score(labels, s)) for s in (*scores, severity[finding])))
    return result
