import numpy as np

from ecgfm.data.synthetic.heart import PREMATURE, beats
from ecgfm.data.synthetic.pulse import RATE, pulse


def heights(visit):
    """The pulse's largest value in the 450 ms after each beat that lies within it."""
    rng = visit.rng("test")
    found = beats(visit, 20, rng)
    wave = pulse(found, 20, visit.age, rng)
    inside = (found.ventricular > 1) & (found.ventricular < 19)
    starts = (found.ventricular[inside] * RATE).astype(int)
    return found, inside, np.array([wave[s + 20 : s + 76].max() - wave[s + 20 : s + 30].min() for s in starts]), wave


def test_every_beat_makes_a_pulse_a_little_later(clear):
    for visit in clear(None, 4):
        found, inside, height, wave = heights(visit)
        assert wave.shape == (20 * RATE,)
        assert np.median(height) > 0.5
        starts = (found.ventricular[inside] * RATE).astype(int)
        delay = [wave[s : s + 90].argmax() / RATE for s in starts]
        assert 0.2 < np.median(delay) < 0.55


def test_premature_beats_are_felt_less(clear):
    for visit in clear("pvc", 4):
        found, inside, height, _ = heights(visit)
        early = found.kind[inside] == PREMATURE
        assert np.median(height[early]) < 0.7 * np.median(height[~early])
