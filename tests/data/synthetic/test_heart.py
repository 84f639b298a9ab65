import numpy as np

from ecgfm.data.synthetic.heart import ECTOPIC, PACED, PREMATURE, Beats, beats
from ecgfm.data.synthetic.visit import Visit


def beat(visit: Visit, seconds: float = 10) -> Beats:
    return beats(visit, seconds, visit.rng("test"))


def variation(visits: list[Visit]) -> list[float]:
    return [float(np.std(b.rr) / np.mean(b.rr)) for b in map(beat, visits)]


def test_rates_are_kept(clear):
    for finding in (None, "bradycardia", "tachycardia"):
        for visit in clear(finding, 5):
            onset = beat(visit).ventricular
            inside = onset[(onset > 0) & (onset < 10)]
            assert 0.8 < 60 / np.diff(inside).mean() / visit.rate < 1.2


def test_fibrillation_is_irregular_and_has_no_p(clear):
    assert min(variation(clear("atrial_fibrillation", 12))) > 0.1
    assert np.median(variation(clear(None, 12))) < 0.1
    assert all(len(beat(visit).atrial) == 0 for visit in clear("atrial_fibrillation", 5))


def test_flutter_conducts_whole_numbers_of_waves(clear):
    for visit in (v for v in clear("atrial_flutter", 12) if v.severity["pvc"] < 0.36):
        waves = beat(visit).rr * visit.rate * (visit.conduction or 3) / 60
        near = np.abs(waves - np.rint(waves)) < 0.2
        assert near.mean() > 0.95


def test_pacing_is_a_clockwork(clear):
    for visit in clear("paced", 5):
        found = beat(visit)
        assert (found.kind == PACED).mean() > 0.8
        assert np.std(found.rr[(found.kind == PACED)]) < 0.1


def test_p_comes_a_pr_before_each_normal_beat(clear):
    for visit in clear("first_degree_av_block", 4):
        found = beat(visit)
        before = found.ventricular[found.kind != PREMATURE] - found.atrial
        assert abs(np.median(before) * 1000 - visit.pr) < 1
        assert visit.pr > 200


def test_premature_ventricular_beats_are_early_and_wait_is_made_up(clear):
    for visit in clear("pvc", 8):
        found = beat(visit)
        at = np.flatnonzero(found.kind == PREMATURE)
        assert len(at) >= 1
        around = np.median(found.rr)
        if visit.rhythm == "sinus":
            assert np.median(found.rr[at]) < 0.85 * around
            assert np.median((found.rr[at] + found.rr[at + 1]) / (2 * around)) > 0.9


def test_premature_atrial_beats_have_another_p(clear):
    for visit in clear("pac", 8):
        found = beat(visit)
        assert (found.atrial_kind == ECTOPIC).sum() >= 1


def test_longer_recordings_hold_more_premature_beats(clear):
    (visit,) = clear("pvc", 1)
    assert (beat(visit, 40).kind == PREMATURE).sum() > (beat(visit, 10).kind == PREMATURE).sum()
