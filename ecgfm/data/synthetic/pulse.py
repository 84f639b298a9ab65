"""A pulse wave at the finger from the same heart beats: a second kind of channel, at its own rate."""

import numpy as np
from jaxtyping import Float32

from ecgfm.data.synthetic.heart import PREMATURE, Beats
from ecgfm.data.synthetic.waves import Waves, add

RATE = 125.0  # Hz
# From the foot of the pulse, in ms: the systolic wave, its reflection, the dicrotic wave. Shares of its height.
PULSE = ((110, 45, 70, 1.0), (260, 60, 80, 0.45), (430, 55, 110, 0.28))


def pulse(beats: Beats, seconds: float, age: float, rng: np.random.Generator) -> Float32[np.ndarray, "time"]:
    """Heights around 0 to 1. It arrives a quarter of a second after the beat, sooner in stiff arteries.

    A beat that follows a short pause ejects less, a premature ventricular one little.
    """
    delay = rng.normal(0.26, 0.02) - 0.001 * (age - 60)
    mean = np.median(beats.rr)
    filling = np.clip((beats.rr / mean - 0.45) / 0.55, 0.05, 1.25) * np.where(beats.kind == PREMATURE, 0.45, 1.0)
    samples = round(seconds * RATE)
    signal = np.zeros((8, samples), dtype=np.float32)
    gain = filling * (1 + 0.03 * rng.standard_normal(len(filling)))
    add(signal, RATE, beats.ventricular + delay, _waves(age), gain, np.full(len(gain), min(1.15, mean / 0.8) ** 0.5))
    time = np.arange(samples) / RATE
    breath = 0.06 * np.sin(2 * np.pi * beats.respiration * time + rng.uniform(0, 2 * np.pi))
    return (signal[0] + breath + 0.008 * rng.standard_normal(samples)).astype(np.float32)


def _waves(age: float) -> Waves:
    centre, before, after, height = np.array(PULSE, dtype=float).T
    height = height * np.array([1.0, 1.0 + (age - 60) / 100, 1.0 - (age - 60) / 100])  # reflections grow with age
    return Waves(centre, before, after, np.zeros(3, dtype=bool), np.repeat(height[None], 8, axis=0))
