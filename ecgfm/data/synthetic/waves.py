"""Waves and their sums: each is a bell with two slopes, or a plateau, seen with an amplitude in each lead."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from ecgfm.data.synthetic.leads import limb_axis


@dataclass(frozen=True)
class Waves:
    """Times in ms from the onset of the QRS (of the P wave, for a P wave); amplitudes in mV per independent lead."""

    centre: Float[np.ndarray, "wave"]
    before: Float[np.ndarray, "wave"]  # width of the rising side
    after: Float[np.ndarray, "wave"]
    flat: Bool[np.ndarray, "wave"]
    amplitude: Float[np.ndarray, "8 wave"]

    def __add__(self, other: "Waves") -> "Waves":
        return Waves(
            np.concatenate([self.centre, other.centre]),
            np.concatenate([self.before, other.before]),
            np.concatenate([self.after, other.after]),
            np.concatenate([self.flat, other.flat]),
            np.concatenate([self.amplitude, other.amplitude], axis=1),
        )

    def __mul__(self, factor: float) -> "Waves":
        return replace(self, amplitude=self.amplitude * factor)

    def moved(self, by: float, stretch: float = 1.0) -> "Waves":
        """Stretched about time 0, then moved."""
        return Waves(self.centre * stretch + by, self.before * stretch, self.after * stretch, self.flat, self.amplitude)

    def area(self) -> Float[np.ndarray, "8"]:
        """mV ms under all waves, per lead."""
        return self.amplitude @ ((self.before + self.after) * np.sqrt(np.pi / 2))

    def axis(self) -> float:
        return limb_axis(*self.area()[:2])

    def at(self, time: Float[np.ndarray, "time"]) -> Float[np.ndarray, "8 time"]:
        return self.amplitude @ shape(self, time[None], np.ones(1))[0]


def bells(rows: Float[np.ndarray, "wave 2"], amplitude: Float[np.ndarray, "8 wave"]) -> Waves:
    """Symmetric bells from (centre, width)."""
    centre, width = rows.T
    return Waves(centre, width, width, np.zeros(len(rows), dtype=bool), amplitude)


def wave(centre: float, before: float, after: float, amplitude: Float[np.ndarray, "8"], *, flat: bool = False) -> Waves:
    one = np.array([centre, before, after], dtype=float)[:, None]
    return Waves(one[0], one[1], one[2], np.array([flat]), amplitude[:, None])


def shape(
    waves: Waves, time: Float[np.ndarray, "beat time"], stretch: Float[np.ndarray, "beat"]
) -> Float[np.ndarray, "beat wave time"]:
    """Each wave's course at each beat, its own clock slowed by `stretch`: exp(-u^2/2), or exp(-u^4/2) when flat."""
    real = time.dtype
    slow = stretch[:, None, None].astype(real)
    u = time[:, None, :] / slow - waves.centre.astype(real)[:, None]
    inverse = np.where(u < 0, (1 / waves.before).astype(real)[:, None], (1 / waves.after).astype(real)[:, None])
    u *= inverse
    u *= u
    if waves.flat.any():
        u[:, waves.flat] *= u[:, waves.flat]
    u *= real.type(-0.5)
    return np.exp(u, out=u)


def extent(waves: Waves, share: float = 0.035) -> tuple[float, float]:
    """Where the waves, in the lead that shows them longest, rise above a share of their largest deflection."""
    time = np.arange(-150.0, 350.0)
    height = np.abs(waves.at(time)).max(axis=0)
    seen = np.flatnonzero(height > share * height.max())
    return float(time[seen[0]]), float(time[seen[-1]])


def add(
    signal: Float[np.ndarray, "8 time"],
    rate: float,
    onset: Float[np.ndarray, "beat"],
    waves: Waves,
    gain: Float[np.ndarray, "beat"],
    stretch: Float[np.ndarray, "beat"],
) -> None:
    """Adds the waves to a signal in place, once per onset (in seconds from the signal's first sample)."""
    if not len(onset):
        return
    first = float((waves.centre - 3.5 * waves.before).min()) / 1000
    last = float((waves.centre + 3.5 * waves.after).max() * stretch.max()) / 1000
    width = int((last - first) * rate) + 2
    start = np.floor((onset + first) * rate).astype(int)
    time = ((start[:, None] + np.arange(width)) / rate - onset[:, None]).astype(np.float32) * 1000
    course = shape(waves, time, stretch)
    drawn = (waves.amplitude.astype(np.float32) * gain.astype(np.float32)[:, None, None]) @ course
    for begin, beat in zip(start, drawn, strict=True):
        low, high = max(begin, 0), min(begin + width, signal.shape[1])
        if low < high:
            signal[:, low:high] += beat[:, low - begin : high - begin]
