"""How each finding changes the heart's waves: P, QRS, ST and T of one visit, seen in the eight independent leads.

Dipoles are written (left, down, forward) in mV. Times are in ms: from the peak of a normal R wave in the tables, from
the onset of the QRS once it is put together.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ecgfm.data.synthetic.findings import TERRITORIES, ramp
from ecgfm.data.synthetic.leads import FACES, body
from ecgfm.data.synthetic.visit import PACED_QRS, Visit
from ecgfm.data.synthetic.waves import Waves, bells, extent, wave

# centre, width, left, down, forward
NORMAL = (
    (-26, 8, -0.10, 0.00, 0.20),  # septum, from left to right
    (-10, 9, 0.42, 0.32, 0.28),  # apex
    (4, 11, 1.00, 0.75, -0.55),  # free wall of the left ventricle
    (24, 9, -0.20, -0.12, -0.35),  # base
)
LEFT_BLOCK = (  # the septum is crossed from right to left, slowly: no q, a broad notched R, the left wall late
    (-34, 9, 0.06, 0.05, 0.10),
    (-10, 19, 0.64, 0.36, -0.55),
    (32, 20, 0.78, 0.26, -0.62),
    (60, 15, 0.25, 0.05, -0.25),
)
RIGHT_BLOCK = ((58, 19, -0.42, -0.05, 0.62),)  # the right ventricle is late and goes on alone: R' in V1, S in I and V6
FROM_APEX = ((-20, 16), (12, 24), (56, 24)), ((0.25, -0.25, -0.15), (0.25, -0.75, -0.65), (0.20, -0.50, -0.60))
# Repolarisation turns against a slow QRS: mV of T and of ST per mV ms of its area.
AGAINST_T, AGAINST_ST = 1 / 230, 1 / 1100
LEFT_FROM, LEFT_FULL = 0.25, 0.62  # the severities at which a left block begins to show, and is complete
TALLEST = 2.0  # mV from peak to peak in a limb lead, without hypertrophy
RIGHT_AGAINST = 3.0  # the late right ventricle stands alone, nothing cancels it


@dataclass(frozen=True)
class Beat:
    """One kind of ventricular beat; times in ms from its onset."""

    qrs: Waves
    repolarisation: Waves  # its clock follows the beat's own cycle


@dataclass(frozen=True)
class Heart:
    conducted: Beat
    premature: Beat
    paced: Beat
    p_wave: Waves  # from the onset of the P wave
    ectopic_p: Waves
    p_ms: float
    field: Float[np.ndarray, "8 3"]


def heart(visit: Visit, rng: np.random.Generator) -> Heart:
    build = visit.subject.build
    electrodes = np.array(build.electrodes) + rng.normal(0, 0.04, 8)
    field = body(build.turn + rng.normal(0, 3), build.r_progression + rng.normal(0, 0.06), electrodes)
    field = field * (build.amplitude * np.exp(rng.normal(0, 0.05)))
    plain, left, right = _ventricles(visit, field)
    shrink = _shrink(visit.severity, _limb_voltage(plain + left + right))
    qrs, field = (plain + left + right) * shrink, field * min(1.0, shrink)
    against = -shrink * (left.area() + RIGHT_AGAINST * right.area())
    atria, p_ms = _p_wave(visit, field, rng)
    ectopic = np.array(build.ectopic) * 1.35 / np.linalg.norm(build.ectopic)
    bizarre = ramp(visit.severity["pvc"], 0.3, 0.6)
    return Heart(
        conducted=Beat(qrs, _repolarisation(visit, field, qrs, against, rng)),
        premature=_wide(field, ((0, 20, *(0.8 * ectopic)), (38, 25, *ectopic)), 110 + 45 * bizarre, visit),
        paced=_wide(field, _from_electrode(build.pacing), PACED_QRS, visit),
        p_wave=atria,
        ectopic_p=_ectopic_p(field, p_ms, rng),
        p_ms=p_ms,
        field=field,
    )


def _shrink(severity: dict[str, float], voltage: float) -> float:
    """What brings the limb leads' voltage to 0.5 mV at the threshold of low voltage, and keeps the others above it."""
    low = severity["low_voltage"]
    if low > 0.25:
        return min(1.0, 0.5 * 2 ** (2 * (0.5 - low)) / voltage)
    tallest = TALLEST * (1 + ramp(severity["lvh"], 0.2, 1.0))
    return float(np.clip(1.0, 0.72 / voltage, tallest / voltage))


def _limb_voltage(qrs: Waves) -> float:
    """The largest peak-to-peak QRS of the six limb leads."""
    i, ii = qrs.at(np.arange(-20.0, 220.0, 2.0))[:2]
    return max(float(np.ptp(lead)) for lead in (i, ii, ii - i, (i + ii) / 2, i - ii / 2, ii - i / 2))


def _dipoles(table: tuple, field: Float[np.ndarray, "8 3"]) -> Waves:
    rows = np.array(table)
    return bells(rows[:, :2], field @ rows[:, 2:].T)


def _frontal(angle: float) -> Float[np.ndarray, "3 3"]:
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _ventricles(visit: Visit, field: Float[np.ndarray, "8 3"]) -> tuple[Waves, Waves, Waves]:
    """A conducted QRS from its onset: what spreads through the bundles, and what a left and a right block add."""
    turn = 0.0
    for _ in range(7):  # the body sees the frontal plane as an ellipse: half steps towards the axis meet it
        plain, left, _ = _spread(visit, field @ _frontal(turn))
        turn += 0.5 * ((visit.axis - (plain + left).axis() + 180) % 360 - 180)
    plain, left, right = _spread(visit, field @ _frontal(turn))
    first, last = extent(plain + left + right)
    stretch = visit.conducted_qrs / (last - first)
    start = -first * stretch
    return plain.moved(start, stretch), left.moved(start, stretch), right.moved(start, stretch)


def _spread(visit: Visit, field: Float[np.ndarray, "8 3"]) -> tuple[Waves, Waves, Waves]:
    """What spreads through the bundles, and what a left and a right block make of it."""
    severity = visit.severity
    left, right = ramp(severity["lbbb"], LEFT_FROM, LEFT_FULL), ramp(severity["rbbb"], 0.2, 0.75)
    big = 1 + 0.9 * ramp(severity["lvh"], 0.2, 1.0)
    *start, (centre, width, *wall), (last, narrow, *base) = NORMAL
    grown = (*start, (centre, width, *(big * x for x in wall)), (last, narrow, *(big * x for x in base)))
    plain = _scar(visit, _dipoles(grown, field)) * (1 - left)
    return plain, _dipoles(LEFT_BLOCK, field) * left, _dipoles(RIGHT_BLOCK, field) * right


def _scar(visit: Visit, qrs: Waves) -> Waves:
    """A scar does not depolarise: what faces it early is lost, and the wall across from it is seen instead.

    A narrow q, as some healthy hearts have it, is as deep as a small scar's and half as wide.
    """
    height = float(np.abs(qrs.amplitude).max())
    share = np.array([0.85, 0.85, 0.5])  # of septum, apex and free wall: what can be lost of each
    for territory in TERRITORIES:
        depth = ramp(visit.severity[f"infarct_{territory}"], 0.2, 1.0)
        if depth:
            face = FACES[territory]
            left = 1 - depth * np.clip(face, 0, 1)[:, None] * share
            amplitude = qrs.amplitude.copy()
            amplitude[:, :3] *= np.where(amplitude[:, :3] > 0, left, 1)
            qrs = replace(qrs, amplitude=amplitude) + wave(-23, 13, 12, -0.55 * depth * height * face)
    for territory, depth in zip(TERRITORIES, visit.subject.build.narrow_q, strict=True):
        if depth:
            qrs = qrs + wave(-24, 6, 6, -depth * height * np.clip(FACES[territory], 0, 1))
    return qrs


def _repolarisation(
    visit: Visit, field: Float[np.ndarray, "8 3"], qrs: Waves, against: Float[np.ndarray, "8"], rng: np.random.Generator
) -> Waves:
    """T, the ST segment, and what is left of the QRS at its end; `against` is the area that a block reverses."""
    build, severity, end = visit.subject.build, visit.severity, visit.conducted_qrs
    size, *points = build.t_wave
    angle = np.deg2rad(40 + 0.35 * (visit.axis - 40))  # T follows the QRS, at a distance
    dipole = np.array([0.36 * np.cos(angle), 0.36 * np.sin(angle), 0.15]) + points + rng.normal(0, 0.02, 3)
    size *= np.exp(rng.normal(0, 0.12)) * (1 - 0.85 * ramp(severity["lbbb"], LEFT_FROM, LEFT_FULL))
    strain = build.strain * ramp(severity["lvh"], 0.45, 0.95) * FACES["lateral"]
    t = field @ dipole * size + against * AGAINST_T - 0.5 * strain
    st = against * AGAINST_ST - 0.1 * strain
    inverted, face = ramp(severity["t_inversion"], 0.2, 1.0), FACES[visit.territory]
    t = t * (1 - min(1.0, inverted / 0.35) * np.clip(face, 0, 1)) - 0.5 * max(0.0, inverted - 0.25) * face
    for territory in TERRITORIES:
        up = 0.5 * ramp(severity[f"st_elevation_{territory}"], 0.2, 1.0) ** 1.5
        down = 0.35 * ramp(severity[f"st_depression_{territory}"], 0.2, 1.0) ** 1.4
        st = st + (up - down) * FACES[territory]
        t = t + (0.6 * up - 0.2 * down) * FACES[territory]
    junction = np.array(build.junction) @ np.stack([FACES[territory] for territory in TERRITORIES])
    junction = junction * min(1.0, _limb_voltage(qrs))  # what is low is low throughout
    return _st_t(end, visit.qt(end), st, t, build.t_width) + wave(end + 8, 25, 48, junction)


def _st_t(qrs: float, qt: float, st: Float[np.ndarray, "8"], t: Float[np.ndarray, "8"], width: float) -> Waves:
    """A plateau that begins in the QRS and runs into a T wave, which rises slower than it falls and ends at `qt`."""
    after = 0.08 * qt * width
    peak = qt - 2.2 * after
    return wave(peak, 1.8 * after, after, t) + wave(
        qrs + 0.3 * (peak - qrs), 70, 0.45 * (peak - qrs) + 15, st, flat=True
    )


def _from_electrode(pacing: tuple[float, float, float]) -> tuple:
    times, dipoles = FROM_APEX
    return tuple((*t, *(np.array(d) + pacing)) for t, d in zip(times, dipoles, strict=True))


def _wide(field: Float[np.ndarray, "8 3"], table: tuple, width: float, visit: Visit) -> Beat:
    """A beat that starts in a ventricle and spreads through muscle: broad, its repolarisation turned against it."""
    qrs = _dipoles(table, field)
    first, last = extent(qrs)
    stretch = width / (last - first)
    qrs = qrs.moved(-first * stretch, stretch)
    against = -qrs.area()
    return Beat(qrs, _st_t(width, visit.qt(width), against * AGAINST_ST, against * AGAINST_T, 1.1))


def _p_wave(visit: Visit, field: Float[np.ndarray, "8 3"], rng: np.random.Generator) -> tuple[Waves, float]:
    """The right atrium, then the left: later, larger and further back as it enlarges."""
    large = visit.left_atrium
    length = min(96 + 44 * large, 0.8 * visit.pr)
    weak = 1 - 0.65 * ramp(visit.severity["atrial_fibrillation"], 0.15, 0.5)
    size = weak * visit.subject.build.p_size * np.exp(rng.normal(0, 0.1))
    right, left = np.array([0.04, 0.085, 0.05]), np.array([0.07, 0.055, -0.03 - 0.05 * large]) * (1 + 0.4 * large)
    width = 0.165 * length
    rows = ((0.36 * length, width), (0.64 * length, width))
    return bells(np.array(rows), field @ np.stack([right, left], axis=1) * size), length


def _ectopic_p(field: Float[np.ndarray, "8 3"], length: float, rng: np.random.Generator) -> Waves:
    """From another place in the atria: often turned upside down in II."""
    dipole = rng.normal((0.03, -0.05, 0.03), (0.04, 0.06, 0.04))
    return wave(0.5 * length, 0.2 * length, 0.2 * length, field @ dipole)
