"""One visit of a subject: every hidden factor that its recording and its report are made from."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ecgfm.data.synthetic.findings import CLEAR, FINDINGS, HIDDEN, INFARCTS, TERRITORIES, hide, latent, present, ramp
from ecgfm.data.synthetic.subject import CHRONIC, Subject
from ecgfm.draw import generator

# Share of visits of a subject of average risk at which a finding comes for the day.
ACUTE = {
    "st_elevation_anterior": 0.03,
    "st_elevation_inferior": 0.032,
    "st_elevation_lateral": 0.028,
    "st_depression_anterior": 0.03,
    "st_depression_inferior": 0.035,
    "st_depression_lateral": 0.055,
    "t_inversion": 0.09,
    "pvc": 0.075,
    "pac": 0.06,
}
UNSEEN = {  # what needs P waves, or a sinus node that sets the pace
    "sinus": (),
    "fibrillation": ("first_degree_av_block", "pac"),
    "flutter": ("first_degree_av_block", "pac"),
    "paced": ("pac",),
}
PAROXYSM = 0.72  # share of a fibrillating or fluttering subject's visits at which the rhythm is there
PACED_QRS = 155.0  # ms
PRECURSOR_YEARS = 1.5  # how early atrial signs are seen before fibrillation


@dataclass(frozen=True)
class Visit:
    subject: Subject
    number: int
    rhythm: str  # "sinus", "fibrillation", "flutter" or "paced"
    severity: dict[str, float]
    present: dict[str, bool]
    territory: str  # of T inversion
    rate: float  # per minute
    conduction: int  # flutter waves per beat, 0 when it varies
    pr: float  # ms
    conducted_qrs: float
    qtc: float  # Fridericia's
    axis: float  # degrees
    left_atrium: float

    @property
    def qrs(self) -> float:
        """Of most beats, in ms."""
        return PACED_QRS if self.severity["paced"] > CLEAR else self.conducted_qrs

    def qt(self, qrs: float) -> float:
        """At the visit's rate, in ms; a slow QRS makes it longer."""
        return self.qtc * (60 / self.rate) ** (1 / 3) + 0.7 * max(0.0, qrs - 95)

    @property
    def time(self) -> datetime:
        return self.subject.times[self.number]

    @property
    def years(self) -> float:
        return self.subject.years(self.number)

    @property
    def age(self) -> float:
        return self.subject.age + self.years

    def rng(self, purpose: str) -> np.random.Generator:
        return generator(self.subject.seed, purpose, self.subject.index, self.number)


def visit(subject: Subject, number: int) -> Visit:
    rng = generator(subject.seed, "visit", subject.index, number)
    severity, early = _carried(subject, number, rng)
    rhythm, severity = _rhythm(severity, rng)
    severity |= {f: latent(rng, min(0.4, share * subject.risk**0.7)) for f, share in ACUTE.items()}
    if rhythm == "sinus" and rng.random() < 0.75 * early:
        severity["pac"] = max(severity["pac"], float(rng.uniform(0.4, 0.5 + 0.4 * early)))
    rate, conduction = _rate(subject, rhythm, rng)
    away = ramp(severity["infarct_lateral"], 0.3, 1.0) - ramp(severity["infarct_inferior"], 0.3, 1.0)
    axis = float(np.clip(subject.axis + rng.normal(0, 5) + 25 * away, -85, 150))
    severity |= {
        "bradycardia": float(np.clip(0.5 + (60 - rate) / 40, 0, 1)),
        "tachycardia": float(np.clip(0.5 + (rate - 100) / 60, 0, 1)),
        "left_axis": float(np.clip(0.5 + (-30 - axis) / 90, 0, 1)),
        "right_axis": float(np.clip(0.5 + (axis - 95) / 90, 0, 1)),
    }
    severity = hide(severity | {f: min(severity[f], HIDDEN) for f in UNSEEN[rhythm]})
    severity["sinus_rhythm"] = 1 - max(severity[f] for f in ("atrial_fibrillation", "atrial_flutter", "paced"))
    return Visit(
        subject=subject,
        number=number,
        rhythm=rhythm,
        severity={f: severity[f] for f in FINDINGS},
        present=present(severity, rng),
        territory=TERRITORIES[rng.choice(3, p=[0.35, 0.25, 0.4])],
        rate=rate,
        conduction=conduction,
        pr=120 + 160 * severity["first_degree_av_block"] + float(rng.normal(0, 4)),
        conducted_qrs=_qrs(subject.build.qrs, severity),
        qtc=390 + 160 * severity["long_qt"] + float(rng.normal(0, 5)),
        axis=axis,
        left_atrium=float(np.clip(subject.build.left_atrium + 0.6 * early + rng.normal(0, 0.05), 0, 1)),
    )


def _carried(subject: Subject, number: int, rng: np.random.Generator) -> tuple[dict[str, float], float]:
    """The chronic findings as they stand today, and how near a later fibrillation is, in [0, 1]."""
    years = subject.years(number)
    severity = {
        f: float(np.clip(subject.chronic[f] + subject.drift[f] * years + rng.normal(0, 0.03), 0, 1)) for f in CHRONIC
    }
    early = 0.8 if subject.chronic["atrial_fibrillation"] > 0.42 else 0.0
    for finding, onset in subject.onset.items():
        if finding == "atrial_fibrillation":
            early = float(1 / (1 + np.exp((onset - PRECURSOR_YEARS / 2 - years) / (PRECURSOR_YEARS / 4))))
            severity[finding] = float(rng.uniform(0.55, 0.95)) if years >= onset else min(severity[finding], 0.3)
        else:  # a block widens over the years before it is complete
            grown = 1 / (1 + np.exp((onset - years) / (0.2 * onset + 0.1)))
            severity[finding] = float(np.clip(0.18 + 0.64 * grown + rng.normal(0, 0.03), 0, 1))
    return severity, early


def _rhythm(severity: dict[str, float], rng: np.random.Generator) -> tuple[str, dict[str, float]]:
    """The rhythm of the day, and the severities with those of the other rhythms lowered."""
    toss = rng.random()
    if severity["paced"] > 0.35:
        absent = {f: min(severity[f], 0.15) for f in ("atrial_fibrillation", "atrial_flutter")}
        return "paced", severity | absent
    if severity["atrial_fibrillation"] > 0.42 and toss < PAROXYSM:
        return "fibrillation", severity | {"atrial_flutter": 0.45 * float(rng.beta(1.3, 2.0))}
    if severity["atrial_flutter"] > 0.42 and toss < PAROXYSM:
        return "flutter", severity | {"atrial_fibrillation": float(rng.uniform(0.1, 0.48))}
    absent = {
        "atrial_fibrillation": 0.48 * float(rng.beta(1.2, 3.2)),
        "atrial_flutter": 0.4 * float(rng.beta(1.2, 3.2)),
    }
    return "sinus", severity | absent


def _rate(subject: Subject, rhythm: str, rng: np.random.Generator) -> tuple[float, int]:
    """Beats per minute; in flutter they are a whole share of the atrial rate."""
    if rhythm == "flutter":
        ratio = int(rng.choice([0, 2, 3, 4], p=[0.25, 0.35, 0.1, 0.3]))
        return float(np.clip(rng.normal(285, 22), 230, 340)) / (ratio or 3), ratio
    if rhythm == "fibrillation":
        return float(np.clip(rng.normal(90, 22), 45, 165)), 0
    if rhythm == "paced":
        return float(rng.choice([60, 65, 70, 75, 80]) + rng.uniform(0, 0.5)), 0
    rate = subject.rate + rng.normal(0, 7)
    if rng.random() < 0.1:
        rate += rng.uniform(15, 60)
    return float(np.clip(rate, 38, 165)), 0


def _qrs(base: float, severity: dict[str, float]) -> float:
    """120 ms at the threshold of a bundle branch block; scars and hypertrophy widen too."""
    block = max(severity["lbbb"], severity["rbbb"])
    width = base + max(0.0, 120 - base) * min(1.0, block / 0.5) ** 2 + 90 * max(0.0, block - 0.5)
    return width + 12 * ramp(max(severity[f] for f in ("lvh", *INFARCTS)), 0.3, 1.0)
