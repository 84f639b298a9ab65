"""One recording of a visit: the beats drawn, the atria between them, the noise, and the analogue-digital converter."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int16

from ecgfm.data.synthetic import heart as rhythm
from ecgfm.data.synthetic.anatomy import Beat, Heart, heart
from ecgfm.data.synthetic.findings import ramp
from ecgfm.data.synthetic.heart import LEAD_IN, Beats, beats
from ecgfm.data.synthetic.leads import twelve
from ecgfm.data.synthetic.noise import Noise, noise
from ecgfm.data.synthetic.visit import Visit
from ecgfm.data.synthetic.waves import add, wave

LOST = 0.0125
NO_SAMPLE = np.iinfo(np.int16).min  # what WFDB's format 16 writes for NaN
FLUTTER_FACE = np.array([-0.02, 0.75, -0.55, -0.15, 0.05, 0.15, 0.2, 0.2])  # II, III and aVF against V1


@dataclass(frozen=True)
class Recording:
    visit: Visit
    beats: Beats
    heart: Heart
    rate: float  # Hz
    clean: Float32[np.ndarray, "8 time"]  # mV, the independent leads
    noisy: Float32[np.ndarray, "8 time"]
    noise: Noise

    def digital(self, gain: float) -> Int16[np.ndarray, "12 time"]:
        """Steps of 1/gain mV, the twelve leads in canonical order."""
        steps = np.rint(self.noisy * np.float32(gain)).astype(np.int32)
        return np.clip(twelve(steps), -32767, 32767).astype(np.int16)


def record(visit: Visit, rate: float = 500, seconds: float = 10, mains_hz: float = 60) -> Recording:
    rng = visit.rng("recording")
    when = beats(visit, seconds, rng)
    drawn = heart(visit, rng)
    samples = round(seconds * rate)
    clean = _draw(visit, when, drawn, rate, samples, rng)
    how = Noise.of(rng, mains_hz)
    return Recording(visit, when, drawn, rate, clean, clean + noise(how, samples, rate, when.respiration, rng), how)


def lose(
    samples: Int16[np.ndarray, "12 time"], rng: np.random.Generator
) -> tuple[Int16[np.ndarray, "12 time"], str | None]:
    """In one recording of eighty an electrode comes off: a chest lead is flat or missing, or all leads end early."""
    if rng.random() > LOST:
        return samples, None
    samples, kind = samples.copy(), str(rng.choice(["flat", "missing", "cut"]))
    if kind == "cut":
        samples[:, int(rng.uniform(0.5, 0.95) * samples.shape[1]) :] = NO_SAMPLE
    else:
        samples[rng.integers(6, 12)] = 0 if kind == "flat" else NO_SAMPLE
    return samples, kind


def _draw(
    visit: Visit, when: Beats, drawn: Heart, rate: float, samples: int, rng: np.random.Generator
) -> Float32[np.ndarray, "8 time"]:
    lead_in = round(LEAD_IN * rate)
    signal = np.zeros((8, samples + 2 * lead_in), dtype=np.float32)
    onset = when.ventricular + lead_in / rate
    breath = np.sin(2 * np.pi * when.respiration * when.ventricular + rng.uniform(0, 2 * np.pi))
    gain = 1 + 0.05 * breath + 0.02 * rng.standard_normal(len(onset))
    # The QT follows the cycle with a memory: two thirds of the usual interval, one third of the last one.
    stretch = ((2 + when.rr * visit.rate / 60) / 3) ** (1 / 3)
    for kind, beat in (
        (rhythm.NORMAL, drawn.conducted),
        (rhythm.PREMATURE, drawn.premature),
        (rhythm.PACED, drawn.paced),
    ):
        these = when.kind == kind
        _add_beats(signal, rate, onset[these], beat, gain[these], stretch[these], rng)
    spikes = when.kind == rhythm.PACED
    if spikes.any():
        size = 0.1 + 1.1 * ramp(visit.severity["paced"], 0.35, 1.0)
        spike = wave(-6, 1.3, 1.8, drawn.field @ np.array([0.2, -0.7, 0.3]) * size)
        add(signal, rate, onset[spikes], spike, np.ones(spikes.sum()), np.ones(spikes.sum()))
    p_onset = when.atrial + lead_in / rate
    for kind, p in ((rhythm.SINUS, drawn.p_wave), (rhythm.ECTOPIC, drawn.ectopic_p)):
        these = p_onset[when.atrial_kind == kind]
        add(signal, rate, these, p, 1 + 0.06 * rng.standard_normal(len(these)), np.ones(len(these)))
    signal += _atria_between(visit, drawn, signal.shape[1], rate, not len(p_onset), rng)
    return signal[:, lead_in : lead_in + samples]


def _add_beats(
    signal: Float32[np.ndarray, "8 time"],
    rate: float,
    onset: Float[np.ndarray, "beat"],
    beat: Beat,
    gain: Float[np.ndarray, "beat"],
    stretch: Float[np.ndarray, "beat"],
    rng: np.random.Generator,
) -> None:
    add(signal, rate, onset, beat.qrs, gain, np.ones_like(gain))
    add(signal, rate, onset, beat.repolarisation, gain + 0.03 * rng.standard_normal(len(gain)), stretch)


def _atria_between(
    visit: Visit, drawn: Heart, samples: int, rate: float, without_p: bool, rng: np.random.Generator
) -> Float32[np.ndarray, "8 time"]:
    """Fibrillation's fine waves or flutter's saw, where there are no P waves."""
    if not without_p:
        return np.zeros((8, samples), dtype=np.float32)
    time = np.arange(samples, dtype=np.float32) / np.float32(rate)
    if visit.rhythm == "flutter":
        return _flutter(visit, time, rng)
    coarse = ramp(visit.severity["atrial_flutter"], 0.05, 0.45)
    size = 0.022 * float(np.exp(rng.normal(0, 0.4))) * (1 + 1.5 * coarse)
    result = np.zeros((8, samples), dtype=np.float32)
    for direction in ((-0.6, 0.3, 0.9), (0.2, 1.0, 0.1), (0.3, -0.2, 0.4)):
        sway = (1.1 - 0.8 * coarse) * np.sin(2 * np.pi * rng.uniform(0.2, 0.9) * time + rng.uniform(0, 6.3))
        sway += (0.8 - 0.6 * coarse) * np.sin(2 * np.pi * rng.uniform(0.9, 2.0) * time + rng.uniform(0, 6.3))
        phase = 2 * np.pi * rng.uniform(4.8, 7.5) * time + sway
        swell = 1 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.2, 1.0) * time + rng.uniform(0, 6.3))
        course = (np.sin(phase) + 0.3 * np.sin(2 * phase + 0.7)) * swell
        result += np.outer(drawn.field @ np.array(direction) * size, course).astype(np.float32)
    return result


def _flutter(
    visit: Visit, time: Float32[np.ndarray, "time"], rng: np.random.Generator
) -> Float32[np.ndarray, "8 time"]:
    """A slow fall and a quick rise, five times a second, in step with the ventricles."""
    atrial_rate = visit.rate * (visit.conduction or 3) / 60
    phase = 2 * np.pi * (np.float32(atrial_rate) * time + np.float32(rng.random()))
    saw = sum(np.sin(k * phase) * np.float32(0.9**k / k) for k in range(1, 5))
    size = 0.03 + 0.25 * ramp(visit.severity["atrial_flutter"], 0.35, 1.0)
    face = FLUTTER_FACE * np.exp(rng.normal(0, 0.15, 8))
    return np.outer(face * size, saw).astype(np.float32)
