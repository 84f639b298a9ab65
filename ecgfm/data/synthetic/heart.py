"""When the heart beats: times of the atria and the ventricles over one recording, by rhythm."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ecgfm.data.synthetic.findings import ramp
from ecgfm.data.synthetic.visit import Visit

NORMAL, PREMATURE, PACED = 0, 1, 2  # kinds of ventricular beats
SINUS, ECTOPIC = 0, 1  # kinds of P waves
PAUSES = 0.12  # share of sinus rhythms with pauses that are no finding of ours
UNRULY, UNRULY_SIZE = 0.1, 0.14  # and of those as irregular as fibrillation, each beat with its P wave
LEAD_IN = 1.5  # seconds of heart before and after the recording, so that its edges are like its middle


@dataclass(frozen=True)
class Beats:
    """Onsets in seconds from the recording's start."""

    ventricular: Float[np.ndarray, "beat"]
    kind: Int[np.ndarray, "beat"]
    rr: Float[np.ndarray, "beat"]  # the interval before each beat
    atrial: Float[np.ndarray, "p"]
    atrial_kind: Int[np.ndarray, "p"]
    respiration: float  # Hz


def beats(visit: Visit, seconds: float, rng: np.random.Generator) -> Beats:
    respiration = float(rng.uniform(0.18, 0.33))
    interval = 60 / visit.rate
    count = int(np.ceil((seconds + 2 * LEAD_IN) / interval * 1.7)) + 4
    rr = _intervals(visit, interval, count, respiration, rng)
    onset = -LEAD_IN - interval * rng.random() + np.cumsum(rr)
    kind = np.zeros(count, dtype=int)
    if visit.rhythm == "paced":
        kind[rng.random(count) < ramp(visit.severity["paced"], 0.3, 0.55)] = PACED
    early_p = np.zeros(count, dtype=bool)
    onset = _premature_atrial(visit, onset, interval, seconds, early_p, rng)
    onset = _premature_ventricular(visit, onset, interval, seconds, kind, rng)
    keep = onset < seconds + LEAD_IN
    rr = np.diff(onset, prepend=onset[0] - interval)
    p_onset = onset - visit.pr / 1000 + early_p * 0.02
    has_p = keep & (kind != PREMATURE) & _atria_contract(visit, rng)
    return Beats(
        ventricular=onset[keep],
        kind=kind[keep],
        rr=rr[keep],
        atrial=p_onset[has_p],
        atrial_kind=np.where(early_p, ECTOPIC, SINUS)[has_p],
        respiration=respiration,
    )


def _atria_contract(visit: Visit, rng: np.random.Generator) -> bool:
    """Whether P waves are there: a third of the paced have fibrillating atria behind the pacemaker."""
    return visit.rhythm == "sinus" or (visit.rhythm == "paced" and bool(rng.random() > 0.35))


def _intervals(
    visit: Visit, interval: float, count: int, respiration: float, rng: np.random.Generator
) -> Float[np.ndarray, "beat"]:
    """Seconds from beat to beat; over the first ten seconds they are on average what the visit's rate says."""
    noise = rng.normal(size=count)
    if visit.rhythm == "fibrillation":
        share = np.maximum(0.33 / interval, np.exp((0.07 + 0.2 * visit.severity["atrial_fibrillation"]) * noise))
    elif visit.rhythm == "flutter":
        ratio = visit.conduction or rng.choice([2, 3, 4], size=count, p=[0.3, 0.4, 0.3])
        return interval / (visit.conduction or 3) * ratio * (1 + 0.008 * noise)
    elif visit.rhythm == "paced":
        share = 1 + 0.002 * noise
    else:
        share = _sinus(visit, interval, respiration, noise, rng)
    return interval * share / share[: max(2, round((10 + LEAD_IN) / interval))].mean()


def _sinus(
    visit: Visit, interval: float, respiration: float, noise: Float[np.ndarray, "beat"], rng: np.random.Generator
) -> Float[np.ndarray, "beat"]:
    """The sinus node breathes, wanders and now and then pauses; near fibrillation it is irregular."""
    count = len(noise)
    swing = visit.subject.build.variability
    phase = 2 * np.pi * (respiration * interval * np.arange(count) + rng.random())
    wander = np.cumsum(rng.normal(size=count)) / np.sqrt(count)
    irregular = 0.16 * ramp(visit.severity["atrial_fibrillation"], 0.1, 0.5) * rng.normal(size=count)
    irregular += UNRULY_SIZE * (rng.random() < UNRULY) * rng.normal(size=count)
    pause = np.where(rng.random(count) < 0.08 * (rng.random() < PAUSES), rng.uniform(1.25, 1.8), 1.0)
    return pause * np.maximum(0.5, 1 + swing * (np.sin(phase) + 0.4 * noise + 0.5 * wander) + irregular)


def _places(onset: Float[np.ndarray, "beat"], seconds: float, count: int, rng: np.random.Generator) -> list[int]:
    """Beats that may come early: well within the recording, no two in a row."""
    inside = np.flatnonzero((onset > 1.2) & (onset < seconds - 1.0))
    chosen: list[int] = []
    for place in rng.permutation(inside):
        if len(chosen) < count and all(abs(place - other) > 1 for other in chosen):
            chosen.append(int(place))
    return sorted(chosen)


def burden(severity: float, seconds: float) -> int:
    """Premature beats in a recording: none well below the threshold, one near it, up to five in ten seconds."""
    if severity < 0.36:
        return 0
    return max(1, round((1 + 4 * ramp(severity, 0.6, 1.0)) * max(1.0, seconds / 10)))


def _premature_atrial(
    visit: Visit,
    onset: Float[np.ndarray, "beat"],
    interval: float,
    seconds: float,
    early: np.ndarray,
    rng: np.random.Generator,
) -> Float[np.ndarray, "beat"]:
    """The sinus node is reset: what follows a premature atrial beat comes as much earlier. Marks `early` in place."""
    severity = visit.severity["pac"]
    if visit.rhythm != "sinus" or not (count := burden(severity, seconds)):
        return onset
    onset = onset.copy()
    coupling = 0.9 - 0.3 * ramp(severity, 0.36, 0.75)
    for place in _places(onset, seconds, count, rng):
        moved = onset[place - 1] + interval * (coupling + rng.normal(0, 0.02)) - onset[place]
        onset[place] += min(0.0, moved)
        onset[place + 1 :] += 0.8 * min(0.0, moved)
        early[place] = True
    return onset


def _premature_ventricular(
    visit: Visit,
    onset: Float[np.ndarray, "beat"],
    interval: float,
    seconds: float,
    kind: np.ndarray,
    rng: np.random.Generator,
) -> Float[np.ndarray, "beat"]:
    """The sinus node goes on: the next beat comes when it would have. Marks `kind` in place."""
    severity = visit.severity["pvc"]
    if not (count := burden(severity, seconds)):
        return onset
    onset = onset.copy()
    coupling = 0.85 - 0.25 * ramp(severity, 0.36, 0.7)
    for place in _places(onset, seconds, count, rng):
        moved = onset[place - 1] + max(0.36, interval * (coupling + rng.normal(0, 0.03)))
        onset[place] = min(onset[place], moved)
        kind[place] = PREMATURE
    return onset
