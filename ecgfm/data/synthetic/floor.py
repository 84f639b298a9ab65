"""How far simple measurements and full knowledge go: the floor and the ceiling between which every claim is set.

The floor is a detector on simple features of the noisy signal: rate and its variation, intervals, the P wave, and how
far each lead goes up and down. A careful ruler, which reads Q, ST and T of every lead off a median beat besides, is a
second mark above it. The ceiling is an oracle that is told each severity, but not how the machine's toss fell.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

SIMPLE = 5 + 3 + 3 + 24  # rhythm, intervals, P waves, R and S of twelve leads
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
    """Rate and its variation, intervals in seconds, and per-lead heights in mV; the simple ones first."""
    peaks = r_peaks(signal, rate)
    rr = np.diff(peaks) / rate if len(peaks) > 2 else np.ones(2)
    rhythm = [60 / rr.mean(), rr.std(), np.abs(np.diff(rr)).mean(), rr.min() / rr.mean(), rr.max() / rr.mean()]
    beat = uniform_filter1d(median_beat(signal, rate, peaks), int(0.01 * rate), axis=1)
    return np.concatenate([rhythm, _ruler(beat, rate)])


def _ruler(beat: Float[np.ndarray, "12 window"], rate: float) -> Float[np.ndarray, "measure"]:
    """PR, QRS and QT (to the peak of T), the P wave in II and V1, R and S of every lead; then its Q, ST and T."""

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
    simple = [intervals, [p[1, p_peak], np.ptp(p[1]), np.ptp(p[6])], qrs.max(axis=1), qrs.min(axis=1)]
    return np.concatenate([*simple, q, st, largest_t])


class Measured(NamedTuple):
    """AUC on held-out subjects."""

    floor: float
    ruler: float
    oracle: float


def measure(
    train: Float[np.ndarray, "a feature"],
    train_labels: Mapping[str, Bool[np.ndarray, "a"]],
    test: Float[np.ndarray, "b feature"],
    test_labels: Mapping[str, Bool[np.ndarray, "b"]],
    severity: Mapping[str, Float[np.ndarray, "b"]],
) -> dict[str, Measured]:
    """Per finding: boosted trees on the simple features and on all, and the oracle, which knows the severity."""
    result = {}
    for finding, labels in test_labels.items():
        scores = [trees(train[:, :n], train_labels[finding], test[:, :n]) for n in (SIMPLE, train.shape[1])]
        result[finding] = Measured(*(float(roc_auc_score(labels, s)) for s in (*scores, severity[finding])))
    return result


def trees(
    train: Float[np.ndarray, "a feature"], labels: Bool[np.ndarray, "a"], test: Float[np.ndarray, "b feature"]
) -> Float[np.ndarray, "b"]:
    """What boosted trees, which learnt from the one, say of the other."""
    made = HistGradientBoostingClassifier(max_iter=80, learning_rate=0.08, max_leaf_nodes=8, random_state=0)
    return made.fit(train, labels).predict_proba(test)[:, 1]
