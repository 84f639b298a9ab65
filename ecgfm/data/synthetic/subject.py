"""Who is recorded: a subject's build, the findings they carry from visit to visit, and those they will develop."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from ecgfm.data.synthetic.findings import latent
from ecgfm.draw import generator

# Share of subjects of average risk who carry a finding from the first visit on.
CHRONIC = {
    "atrial_fibrillation": 0.055,
    "atrial_flutter": 0.042,
    "first_degree_av_block": 0.06,
    "lbbb": 0.022,
    "rbbb": 0.045,
    "lvh": 0.08,
    "infarct_anterior": 0.045,
    "infarct_inferior": 0.055,
    "infarct_lateral": 0.035,
    "low_voltage": 0.05,
    "long_qt": 0.05,
    "paced": 0.028,
}
MOST_VISITS = 260
DEVELOPS = {"atrial_fibrillation": 0.2, "lbbb": 0.09, "rbbb": 0.11}  # among subjects seen over a year or more


class Build(NamedTuple):
    """The lasting shape of a heart and the body around it: all that differs between subjects and is no finding."""

    amplitude: float
    turn: float  # degrees of rotation about the long axis
    r_progression: float  # how much later than usual R grows across the chest
    electrodes: tuple[float, ...]  # deviation per independent lead
    qrs: float  # ms, without a block; some hearts conduct slowly everywhere
    narrow_q: tuple[float, float, float]  # depth per territory, as a share of the largest deflection: no scar
    junction: tuple[float, float, float]  # mV per territory at the end of the QRS, gone 100 ms later: no injury
    t_wave: tuple[float, float, float, float]  # size, and where it points
    t_width: float
    strain: float  # how much of a hypertrophy's repolarisation shows
    ectopic: tuple[float, float, float]  # where premature ventricular beats point
    pacing: tuple[float, float, float]  # where the electrode of a pacemaker lies, away from the apex
    p_size: float
    left_atrium: float  # enlargement in [0, 1]
    variability: float  # of the sinus rate, as a share of the interval


@dataclass(frozen=True)
class Subject:
    seed: int
    index: int
    age: float  # at the first visit
    sex: str
    risk: float
    times: tuple[datetime, ...]
    build: Build
    rate: float
    axis: float
    chronic: dict[str, float]
    drift: dict[str, float]  # severity per year
    onset: dict[str, float]  # finding -> years after the first visit at which it has developed

    def years(self, visit: int) -> float:
        return (self.times[visit] - self.times[0]) / timedelta(days=365.25)


def subject(seed: int, index: int) -> Subject:
    """Subject number `index` of a corpus, whatever the corpus's size."""
    rng = generator(seed, "subject", index)
    age = float(np.clip(rng.normal(62, 17), 18, 95))
    sex = "F" if rng.random() < 0.5 else "M"
    risk = float(np.exp(0.75 * rng.normal() - 0.25 + (age - 62) / 30))
    times = _times(rng)
    chronic = {f: latent(rng, min(0.45, share * risk)) for f, share in CHRONIC.items()}
    drift = {f: float(rng.normal(0.004, 0.02)) for f in CHRONIC}
    build = _build(rng, age, sex)
    return Subject(
        seed=seed,
        index=index,
        age=age,
        sex=sex,
        risk=risk,
        times=times,
        build=build,
        rate=float(rng.normal(74, 10)),
        axis=_axis(rng, risk),
        chronic=chronic,
        drift=drift,
        onset=_onset(rng, chronic, (times[-1] - times[0]) / timedelta(days=365.25)),
    )


def _times(rng: np.random.Generator) -> tuple[datetime, ...]:
    """Median 2 visits, mean about 5, a long tail; days, months or years apart, in a shifted century."""
    count = int(np.clip(np.rint(np.exp(rng.normal(0.75, 1.3))), 1, MOST_VISITS))
    apart = rng.choice([2.0, 60.0, 500.0], p=[0.45, 0.33, 0.22], size=count - 1) * rng.exponential(size=count - 1)
    days = np.concatenate([[0.0], np.cumsum(apart * min(1.0, 60 / count))])
    first = datetime(2110, 1, 1) + timedelta(minutes=int(rng.integers(80 * 365 * 24 * 60)))
    return tuple(first + timedelta(minutes=int(d * 1440) + 7 * i) for i, d in enumerate(days))


def _build(rng: np.random.Generator, age: float, sex: str) -> Build:
    man, young = sex == "M", age < 50
    up, down = _some(rng, 0.35 if man and young else 0.15, 0.05, 0.3), _some(rng, 0.12, 0.05, 0.25)
    return Build(
        amplitude=float(np.exp(rng.normal(0.06 if man else -0.06, 0.24))),
        turn=float(rng.normal(0, 16)),
        r_progression=float(rng.normal(0, 0.35)),
        electrodes=tuple(rng.normal(0, 0.12, 8).tolist()),
        qrs=float(rng.uniform(104, 136) if rng.random() < 0.14 else np.clip(rng.normal(90, 7), 76, 108)),
        narrow_q=_some(rng, 0.3, 0.1, 0.5),
        junction=(up[0] - down[0], up[1] - down[1], up[2] - down[2]),
        t_wave=(float(np.exp(rng.normal(0, 0.35))), *rng.normal(0, 0.11, 3).tolist()),
        t_width=float(np.exp(rng.normal(0, 0.2))),
        strain=float(rng.random()),
        ectopic=tuple(rng.normal((0.1, 0.2, -0.1), (0.7, 1.0, 0.8)).tolist()),
        pacing=tuple(rng.normal(0, (0.2, 0.4, 0.2)).tolist()),
        p_size=float(np.exp(rng.normal(0, 0.25))),
        left_atrium=float(np.clip(rng.beta(1.3, 4) + (age - 62) / 150, 0, 1)),
        variability=float(0.055 * np.exp(rng.normal(-(age - 45) / 45, 0.7))),
    )


def _some(rng: np.random.Generator, share: float, low: float, high: float) -> tuple[float, float, float]:
    """Per territory a number between low and high, or for most subjects 0."""
    anterior, inferior, lateral = np.where(rng.random(3) < share, rng.uniform(low, high, 3), 0.0).tolist()
    return anterior, inferior, lateral


def _axis(rng: np.random.Generator, risk: float) -> float:
    kind = rng.random()
    if kind < 0.1 * min(risk, 2.5):
        return float(rng.uniform(-75, -18))
    if kind > 0.95:
        return float(rng.uniform(85, 140))
    return float(np.clip(rng.normal(34, 26), -80, 130))


def _onset(rng: np.random.Generator, chronic: dict[str, float], span: float) -> dict[str, float]:
    """At most one finding that is not there yet develops within the time the subject is followed."""
    toss, when = rng.random(), rng.uniform(0.35, 0.9)
    if span < 1 or chronic["paced"] > 0.3 or chronic["atrial_flutter"] > 0.4:
        return {}
    for finding, share in DEVELOPS.items():
        free = chronic[finding] < 0.3 and all(chronic[f] < 0.4 for f in ("lbbb", "rbbb", "atrial_fibrillation"))
        if toss < share and free:
            return {finding: float(when * span)}
        toss -= share
    return {}
