import numpy as np

from ecgfm.data.synthetic.floor import features, measure, median_beat, r_peaks
from ecgfm.data.synthetic.recording import record

SHOWN = ("tachycardia", "pvc", "t_inversion", "first_degree_av_block")


def signal(visit) -> np.ndarray:
    return (record(visit).digital(200) / np.float32(200)).astype(np.float32)


def test_beats_are_found(seen):
    wrong = 0
    for visit in seen[:40]:
        onset = record(visit).beats.ventricular
        found = r_peaks(signal(visit), 500) / 500
        wrong += abs(len(found) - ((onset > 0) & (onset < 9.95)).sum()) > 1
    assert wrong <= 2


def test_rates_are_mostly_measured(clear):
    error = [features(signal(visit), 500)[0] / visit.rate - 1 for visit in clear(None, 20)]
    assert np.mean(np.abs(error) < 0.1) > 0.8


def test_a_signal_without_beats_is_measured_too():
    flat = np.zeros((12, 5000), dtype=np.float32)
    assert median_beat(flat, 500, r_peaks(flat, 500)).shape == (12, 400)
    assert np.isfinite(features(flat, 500)).all()


def test_rulers_know_something_and_an_oracle_more(seen):
    chosen = seen[:450]
    x = np.stack([features(signal(visit), 500) for visit in chosen])
    held = np.array([visit.subject.index % 3 == 0 for visit in chosen])
    present = {f: np.array([visit.present[f] for visit in chosen]) for f in SHOWN}
    severity = {f: np.array([visit.severity[f] for visit in chosen]) for f in SHOWN}
    found = measure(
        x[~held],
        {f: present[f][~held] for f in SHOWN},
        x[held],
        {f: present[f][held] for f in SHOWN},
        {f: severity[f][held] for f in SHOWN},
    )
    floor, ruler, oracle = np.mean(list(found.values()), axis=0)
    assert 0.6 < floor < oracle - 0.05
    assert 0.6 < ruler < oracle - 0.05
    assert 0.92 < oracle < 0.995
