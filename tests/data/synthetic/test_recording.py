"""The findings are there, and can be measured, in the signal as it is drawn."""

import numpy as np
import pytest

from ecgfm.data.record import LEADS
from ecgfm.data.synthetic.heart import NORMAL, PACED, PREMATURE
from ecgfm.data.synthetic.leads import limb_axis
from ecgfm.data.synthetic.recording import NO_SAMPLE, Recording, lose, record
from ecgfm.data.synthetic.visit import Visit

RATE = 500
BEFORE = 0.4  # seconds of an averaged beat before the onset of its QRS


def leads(visit: Visit, kind: int = NORMAL) -> dict[str, np.ndarray]:
    """The beat of one kind, averaged, without noise: its QRS begins 200 samples in."""
    drawn = record(visit, RATE)
    i, ii, *chest = drawn.clean
    all_leads = np.stack([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2, *chest])
    onset = drawn.beats.ventricular[drawn.beats.kind == kind]
    places = [round((t - BEFORE) * RATE) for t in onset if BEFORE < t < 10 - 0.6]
    beat = np.median([all_leads[:, p : p + int((BEFORE + 0.6) * RATE)] for p in places], axis=0)
    beat = beat - beat[:, 192:198].mean(axis=1, keepdims=True)
    return dict(zip(LEADS, beat, strict=True))


def qrs(lead: np.ndarray, milliseconds: int = 100) -> np.ndarray:
    return lead[200 : 200 + milliseconds // 2]


def width(beat: dict[str, np.ndarray]) -> float:
    """Milliseconds from the onset to the last steep slope."""
    slope = np.max([np.abs(np.diff(lead)) for lead in beat.values()], axis=0)[200:295]
    return 2 * float(np.flatnonzero(slope > 0.08 * slope.max())[-1])


def st(visit: Visit, lead: str) -> float:
    return float(leads(visit)[lead][200 + round(visit.qrs / 2) + 20])


def t_wave(visit: Visit, lead: str) -> float:
    after = leads(visit)[lead][200 + round(visit.qrs / 2) + 40 :]
    return float(after[np.abs(after).argmax()])


def test_a_recording_is_a_function_of_its_visit(seen):
    np.testing.assert_array_equal(record(seen[3]).digital(200), record(seen[3]).digital(200))


def test_limb_leads_hold_together_to_one_step(seen):
    for visit in seen[:10]:
        i, ii, iii, avr, avl, avf = record(visit).digital(200)[:6].astype(int)
        assert np.abs(iii - (ii - i)).max() <= 1
        assert np.abs(avr + (i + ii) / 2).max() <= 1
        assert np.abs(avl - (i - ii / 2)).max() <= 1
        assert np.abs(avf - (ii - i / 2)).max() <= 1


@pytest.mark.parametrize(("rate", "seconds"), [(257, 60), (400, 7), (1000, 30)])
def test_any_rate_and_length(seen, rate, seconds):
    assert record(seen[0], rate, seconds).digital(1000).shape == (12, rate * seconds)


def test_a_normal_beat_looks_like_one(clear):
    for visit in clear(None, 6):
        beat = leads(visit)
        p = beat["II"][200 - round(visit.pr / 2) : 190]
        assert p.max() > 0.04
        growth = [qrs(beat[f"V{n}"]).max() - abs(qrs(beat[f"V{n}"]).min()) for n in (1, 3, 5)]
        assert growth[0] < growth[1] < growth[2]
        assert qrs(beat["aVR"]).sum() < 0


def test_a_normal_qrs_is_narrow(clear):
    assert 70 < np.median([width(leads(visit)) for visit in clear(None, 7)]) < 115


def test_a_right_block_is_wide_and_ends_forwards(clear):
    for visit in clear("rbbb", 6):
        beat = leads(visit)
        late = slice(200 + round(visit.qrs / 2 * 0.6), 200 + round(visit.qrs / 2))
        assert width(beat) > 120
        assert beat["V1"][late].max() > 0.2  # R'
        assert beat["I"][late].min() < -0.1
        assert beat["V6"][late].min() < -0.1


def test_a_left_block_is_wide_and_turns_t_around(clear):
    for visit in clear("lbbb", 6):
        beat = leads(visit)
        assert width(beat) > 120
        assert qrs(beat["V1"], 140).sum() < 0 < qrs(beat["V6"], 140).sum()
        assert t_wave(visit, "V1") > 0 > t_wave(visit, "V6")
        assert qrs(beat["V6"], 30).min() > -0.1  # no septal q


def test_axes_point_where_they_should(clear):
    for finding in ("left_axis", "right_axis"):
        for visit in clear(finding, 6):
            beat = leads(visit)
            error = limb_axis(*(float(qrs(beat[lead], 120).sum()) for lead in ("I", "II"))) - visit.axis
            assert abs((error + 180) % 360 - 180) < 25


@pytest.mark.parametrize(
    ("finding", "lead", "opposite"),
    [
        ("st_elevation_anterior", "V3", None),
        ("st_elevation_inferior", "III", "aVL"),
        ("st_elevation_lateral", "V6", "III"),
    ],
)
def test_elevations_face_their_territory(clear, finding, lead, opposite):
    for visit in clear(finding, 4):
        assert st(visit, lead) > 0.12
        if opposite:
            assert st(visit, opposite) < 0.02


@pytest.mark.parametrize(
    ("finding", "lead"),
    [("st_depression_anterior", "V3"), ("st_depression_inferior", "III"), ("st_depression_lateral", "V6")],
)
def test_depressions_face_their_territory(clear, finding, lead):
    assert np.median([st(visit, lead) for visit in clear(finding, 5)]) < -0.1


def test_t_waves_are_turned_around(clear):
    lead = {"anterior": "V3", "inferior": "III", "lateral": "V6"}
    assert np.mean([t_wave(visit, lead[visit.territory]) < 0 for visit in clear("t_inversion", 10)]) > 0.8


@pytest.mark.parametrize(
    ("finding", "lead"), [("infarct_anterior", "V2"), ("infarct_inferior", "III"), ("infarct_lateral", "V6")]
)
def test_scars_leave_q_waves(clear, finding, lead):
    def q(visit: Visit) -> float:
        return qrs(leads(visit)[lead], 44).min()

    assert np.median([q(visit) for visit in clear(finding, 7)]) < -0.2
    assert np.median([q(visit) for visit in clear(None, 7)]) > -0.15


def test_hypertrophy_is_tall_and_low_voltage_is_low(clear):
    def limb(visit: Visit) -> float:
        beat = leads(visit)
        return max(np.ptp(qrs(beat[lead])) for lead in LEADS[:6])

    def sokolow(visit: Visit) -> float:
        beat = leads(visit)
        return qrs(beat["V5"]).max() - qrs(beat["V1"]).min()

    normal = clear(None, 8)
    assert max(limb(visit) for visit in clear("low_voltage", 5)) < 0.5
    assert min(limb(visit) for visit in normal) > 0.5
    assert np.median([sokolow(v) for v in clear("lvh", 8)]) > 1.3 * np.median([sokolow(v) for v in normal])


def test_premature_ventricular_beats_are_wide(clear):
    for visit in clear("pvc", 4):
        assert width(leads(visit, PREMATURE)) > 120


def test_paced_beats_begin_with_a_spike(clear):
    for visit in clear("paced", 4):
        beat = leads(visit, PACED)
        before = np.max([np.abs(np.diff(lead))[192:200].max() for lead in beat.values()])
        assert before > 0.08
        assert width(beat) > 120


def test_long_qt_is_long(clear):
    def end(visit: Visit) -> float:
        t = np.abs(leads(visit)["V4"])[200 + round(visit.qrs / 2) + 40 :]
        return (np.flatnonzero(t > 0.15 * t.max())[-1] + round(visit.qrs / 2) + 40) * 2 * (visit.rate / 60) ** (1 / 3)

    assert np.median([end(v) for v in clear("long_qt", 6)]) > np.median([end(v) for v in clear(None, 6)]) + 50


def test_noise_differs_between_recordings(seen):
    drawn: list[Recording] = [record(visit) for visit in seen[:20]]
    left = [float(np.std(np.diff(d.noisy - d.clean, axis=1))) for d in drawn]
    assert max(left) > 4 * min(left) > 0


def test_leads_are_lost_now_and_then():
    samples = np.ones((12, 1000), dtype=np.int16)
    fates = [lose(samples, np.random.default_rng(seed)) for seed in range(4000)]
    lost = [(found, kind) for found, kind in fates if kind]
    assert 0.005 < len(lost) / len(fates) < 0.02
    assert {kind for _, kind in lost} == {"flat", "missing", "cut"}
    for found, kind in lost:
        rows = (found[6:] != 1).any(axis=1).sum()
        assert rows == (6 if kind == "cut" else 1)
        assert (found == NO_SAMPLE).any() == (kind != "flat")
