import numpy as np

from ecgfm.data.synthetic.findings import FINDINGS, HIDDEN, chance, hide, latent, present


def test_labels_are_certain_far_from_the_threshold_and_a_toss_at_it():
    assert chance(0.1) < 0.01
    assert chance(0.5) == 0.5
    assert chance(0.9) > 0.99


def test_labels_near_the_threshold_fall_either_way():
    rng = np.random.default_rng(0)
    found = [present(dict.fromkeys(FINDINGS, 0.0) | {"lvh": 0.5}, rng)["lvh"] for _ in range(400)]
    assert 0.4 < np.mean(found) < 0.6


def test_severities_are_mostly_low_and_as_often_high_as_asked():
    rng = np.random.default_rng(0)
    drawn = np.array([latent(rng, 0.2) for _ in range(4000)])
    assert 0.15 < (drawn > 0.5).mean() < 0.2
    assert np.median(drawn) < 0.25
    assert (np.abs(drawn - 0.5) < 0.1).mean() > 0.05  # some are borderline


def test_one_rhythm_at_a_time():
    rng = np.random.default_rng(0)
    severity = dict.fromkeys(FINDINGS, 0.0) | {"atrial_fibrillation": 0.8, "atrial_flutter": 0.7}
    for _ in range(50):
        found = present(severity, rng)
        assert found["atrial_fibrillation"] + found["atrial_flutter"] + found["sinus_rhythm"] == 1


def test_a_left_block_hides_what_cannot_be_read_behind_it():
    severity = dict.fromkeys(FINDINGS, 0.6)
    seen = hide(severity | {"paced": 0.1, "rbbb": 0.2})
    assert seen["lbbb"] == 0.6
    assert seen["infarct_anterior"] == seen["lvh"] == seen["t_inversion"] == HIDDEN
    assert seen["pvc"] == 0.6
