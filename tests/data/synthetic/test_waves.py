import numpy as np
import pytest

from ecgfm.data.synthetic.waves import add, bells, extent, wave

EIGHT = np.arange(1.0, 9.0)


def test_a_bell_peaks_where_it_says_and_is_seen_by_each_lead_in_its_size():
    one = wave(100, 20, 40, EIGHT)
    drawn = one.at(np.arange(0.0, 300.0))
    assert (drawn.argmax(axis=1) == 100).all()
    np.testing.assert_allclose(drawn.max(axis=1), EIGHT)
    assert drawn[0, 120] > drawn[0, 80]  # it falls slower than it rises


def test_areas_are_the_sums_of_what_is_drawn():
    waves = bells(np.array([[0.0, 10.0], [30.0, 15.0]]), np.stack([EIGHT, -EIGHT / 2], axis=1))
    np.testing.assert_allclose(waves.area(), waves.at(np.arange(-100.0, 150.0)).sum(axis=1), rtol=1e-3)


def test_stretching_makes_a_wave_as_long_as_asked():
    one = wave(0, 10, 10, EIGHT)
    first, last = extent(one)
    low, high = extent(one.moved(0, 3.0))
    assert (high - low) == pytest.approx(3 * (last - first), abs=4)


def test_waves_are_added_at_every_onset_whatever_lies_outside():
    signal = np.zeros((8, 1000), dtype=np.float32)
    onset = np.array([-0.05, 0.5, 1.9985])
    add(signal, 500, onset, wave(0, 20, 20, EIGHT), np.array([1.0, 2.0, 1.0]), np.ones(3))
    assert signal[7].argmax() == 250
    np.testing.assert_allclose(signal[:, 250], 2 * EIGHT, rtol=1e-3)
    assert signal[0, 999] > 0.9
    assert signal[0, 0] > 0


def test_onsets_between_samples_are_not_rounded():
    early, late = (np.zeros((8, 100), dtype=np.float32) for _ in range(2))
    for signal, onset in ((early, 0.1), (late, 0.101)):
        add(signal, 500, np.array([onset]), wave(0, 10, 10, EIGHT), np.ones(1), np.ones(1))
    centre = [(signal[0] * np.arange(100)).sum() / signal[0].sum() / 500 for signal in (early, late)]
    assert centre[1] - centre[0] == pytest.approx(0.001, rel=0.05)
