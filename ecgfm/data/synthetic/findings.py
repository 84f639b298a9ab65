"""What can be found in a recording, how severe it is, and when a machine would name it.

A severity lies in [0, 1]; 0.5 is the threshold at which half of the machines would name the finding. The signal is a
continuous function of the severities; the labels are draws from them, certain far from the threshold and a coin's toss
at it.
"""

from collections.abc import Mapping

import numpy as np

TERRITORIES = ("anterior", "inferior", "lateral")
FINDINGS = (
    "sinus_rhythm",
    "bradycardia",
    "tachycardia",
    "atrial_fibrillation",
    "atrial_flutter",
    "first_degree_av_block",
    "lbbb",
    "rbbb",
    "left_axis",
    "right_axis",
    "lvh",
    *(f"st_elevation_{territory}" for territory in TERRITORIES),
    *(f"st_depression_{territory}" for territory in TERRITORIES),
    "t_inversion",
    *(f"infarct_{territory}" for territory in TERRITORIES),
    "pvc",
    "pac",
    "long_qt",
    "low_voltage",
    "paced",
)
RATES_AND_RHYTHMS = FINDINGS[:5]
ST = tuple(f for f in FINDINGS if f.startswith("st_"))
INFARCTS = tuple(f for f in FINDINGS if f.startswith("infarct_"))

# A finding that stands clearly in the signal hides these: a machine does not name them, and they are not drawn.
HIDES = {
    "paced": tuple(f for f in FINDINGS if f not in (*RATES_AND_RHYTHMS, "paced", "pvc", "pac")),
    "lbbb": ("rbbb", "lvh", *ST, "t_inversion", "infarct_anterior", "infarct_lateral", "long_qt", "low_voltage"),
    "rbbb": ("lbbb", "lvh", "long_qt"),
    "lvh": ("low_voltage",),
    **{f"st_elevation_{t}": (f"st_depression_{t}", "t_inversion") for t in TERRITORIES},
}
HIDDEN, CLEAR = 0.15, 0.45
SHARPNESS = 0.06  # the width of the border, in units of severity


def hide(severity: Mapping[str, float]) -> dict[str, float]:
    """The severities, with those lowered that another finding hides."""
    seen = dict(severity)
    for finding, hidden in HIDES.items():
        if seen[finding] > CLEAR:
            seen |= {other: min(seen[other], HIDDEN) for other in hidden}
    return seen


def latent(rng: np.random.Generator, prevalence: float) -> float:
    """A severity: mostly far below the threshold, and with probability `prevalence` from borderline to clear."""
    if rng.random() < prevalence:
        return 0.4 + 0.6 * rng.beta(1.1, 1.5)
    return 0.5 * rng.beta(1.3, 2.4)


def ramp(x: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high`, straight between."""
    return min(1.0, max(0.0, (x - low) / (high - low)))


def chance(severity: float) -> float:
    """The probability that a machine names a finding of this severity."""
    return float(1 / (1 + np.exp((0.5 - severity) / SHARPNESS)))


def present(severity: Mapping[str, float], rng: np.random.Generator) -> dict[str, bool]:
    """One machine's verdict on every finding; sinus rhythm is what no other rhythm displaces."""
    toss = rng.random(len(FINDINGS))
    found = {f: bool(t < chance(severity[f])) for f, t in zip(FINDINGS, toss, strict=True)}
    if found["atrial_fibrillation"] and found["atrial_flutter"]:
        weaker = min("atrial_fibrillation", "atrial_flutter", key=lambda f: severity[f])
        found[weaker] = False
    found["sinus_rhythm"] = not (found["atrial_fibrillation"] or found["atrial_flutter"] or found["paced"])
    return found
