"""From the heart's dipole to leads: the body's field, and what the limb leads owe to one another."""

import numpy as np
from jaxtyping import Float, Int

INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

# Dower's coefficients (1980): millivolts in each independent lead per millivolt to the left, downwards and forwards.
FIELD = np.array(
    [
        [0.632, -0.235, -0.059],
        [0.235, 1.066, 0.132],
        [-0.515, 0.157, 0.917],
        [0.044, 0.164, 1.387],
        [0.882, 0.098, 1.277],
        [1.213, 0.127, 0.601],
        [1.125, 0.127, 0.086],
        [0.831, 0.076, -0.230],
    ]
)

# How an injury facing part of the wall is seen, more local than a dipole's field: 1 in the lead that faces it best.
FACES = {
    "anterior": np.array([0.08, -0.05, 0.50, 1.00, 1.00, 0.75, 0.30, 0.05]),
    "inferior": np.array([-0.25, 0.75, 0.05, -0.22, -0.20, 0.00, 0.12, 0.20]),
    "lateral": np.array([0.65, 0.08, -0.15, -0.20, 0.05, 0.40, 0.85, 0.90]),
}


def body(turn: float, progression: float, electrodes: np.ndarray) -> Float[np.ndarray, "8 3"]:
    """A subject's own field: the heart turned about its long axis, the chest electrodes a little off their places."""
    angle = np.deg2rad(turn)
    turned = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    field = FIELD @ turned * (1 + electrodes)[:, None]
    forward = np.array(
        [0, 0, 0.6, 1.0, 1.0, 0.5, 0.1, 0]
    )  # an electrode row placed high sees less of what comes forward
    field[:, 2] *= 1 - 0.35 * progression * forward
    return field


def limb_axis(i: float, ii: float) -> float:
    """The frontal angle, in degrees, of a vector seen in I and II: 0 to the left, 90 downwards."""
    return float(np.rad2deg(np.arctan2((ii - i / 2) * 2 / np.sqrt(3), i)))


def twelve(independent: Int[np.ndarray, "8 time"]) -> Int[np.ndarray, "12 time"]:
    """The twelve leads in canonical order. III is exact, the augmented leads are exact up to half a step."""
    i, ii = independent[0], independent[1]
    derived = [ii - i, -((i + ii) // 2), i - ii // 2, ii - i // 2]
    return np.stack([i, ii, *derived, *independent[2:]])
