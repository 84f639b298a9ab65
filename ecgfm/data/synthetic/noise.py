"""What else the electrodes pick up: baseline wander, muscle, mains, and leads that come off."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32


@dataclass(frozen=True)
class Noise:
    """How dirty one recording is, in mV."""

    wander: float
    muscle: float
    mains: float
    mains_hz: float

    @classmethod
    def of(cls, rng: np.random.Generator, mains_hz: float) -> "Noise":
        return cls(
            wander=float(0.06 * np.exp(rng.normal(0, 0.7))),
            muscle=float(0.006 * np.exp(rng.normal(0, 0.7))),
            mains=float(0.02 * rng.random() if rng.random() < 0.25 else 0.0),
            mains_hz=mains_hz,
        )


def noise(
    how: Noise, samples: int, rate: float, respiration: float, rng: np.random.Generator
) -> Float32[np.ndarray, "8 time"]:
    """Noise of the eight independent leads; those derived from them get theirs by the same sums."""
    time = np.arange(samples, dtype=np.float32) / np.float32(rate)
    slow = np.concatenate([[respiration], rng.uniform(0.05, 0.6, 5)]).astype(np.float32)
    waves = np.sin(2 * np.pi * slow[:, None] * time + 2 * np.pi * rng.random((6, 1), dtype=np.float32))
    mix = rng.standard_normal((8, 6), dtype=np.float32) * np.float32(how.wander / np.sqrt(6))
    result = mix @ waves.astype(np.float32)
    result += _muscle(how, samples, rate, rng)
    if how.mains:
        hum = np.sin(2 * np.pi * np.float32(how.mains_hz) * time)
        result += np.outer(how.mains * rng.normal(0.5, 0.5, 8), hum).astype(np.float32)
    if rng.random() < 0.06:  # an electrode is touched: a jump that decays
        jump = np.where(time > rng.uniform(0, time[-1]), 1.0, 0.0).astype(np.float32)
        jump *= np.exp(-np.cumsum(jump) / np.float32(rate * 0.5))
        result[rng.integers(8)] += np.float32(rng.normal(0, 0.5)) * jump
    return result


def _muscle(how: Noise, samples: int, rate: float, rng: np.random.Generator) -> Float32[np.ndarray, "8 time"]:
    """White noise with its low end taken out, stronger in the limb leads and now and then in bursts."""
    white = rng.standard_normal((8, samples + 1), dtype=np.float32)
    rough = white[:, 1:] - 0.6 * white[:, :-1]
    level = how.muscle * np.exp(rng.normal(0, 0.3, 8)) * np.array([1.3, 1.3, 1, 1, 1, 1, 1, 1])
    if rng.random() < 0.15:
        time = np.arange(samples) / rate
        rough *= (1 + 3 * np.exp(-(((time - rng.uniform(0, time[-1])) / 0.7) ** 2))).astype(np.float32)
    return rough * level.astype(np.float32)[:, None]
