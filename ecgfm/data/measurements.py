"""What a cart measured itself: intervals and axes, free ground truth for evaluation.

Times are milliseconds: rr between two beats, the others from the start of the cart's averaged beat. Axes are degrees.
A value outside its range is absent: carts write 29999, 32767 or 65535 where they could not measure.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

_BEAT = (1, 2000)  # ms; the averaged beat is little more than a second long, and nothing begins at its first sample
_AXIS = (-180, 270)  # degrees; carts count from -180 to 180 or from -90 to 270

MEASUREMENTS = {
    "rr": (200, 3000),  # 20 to 300 beats per minute
    "p_onset": _BEAT,
    "p_end": _BEAT,
    "qrs_onset": _BEAT,
    "qrs_end": _BEAT,
    "t_end": _BEAT,
    "p_axis": _AXIS,
    "qrs_axis": _AXIS,
    "t_axis": _AXIS,
}
INTERVALS = {"pr": ("p_onset", "qrs_onset"), "qrs": ("qrs_onset", "qrs_end"), "qt": ("qrs_onset", "t_end")}
NAMES = (*MEASUREMENTS, *INTERVALS, "hr")  # hr in beats per minute


def maps(columns: Mapping[str, Float64[np.ndarray, "record"]]) -> pa.MapArray:
    """Per record {name: value} with what is plausible, from the columns of MEASUREMENTS; NaN for what is not there."""
    values = {name: _within(columns[name], *limits) for name, limits in MEASUREMENTS.items()}
    for name, (start, end) in INTERVALS.items():
        values[name] = _within(values[end] - values[start], *_BEAT)
    values["hr"] = 60_000 / values["rr"]
    table = np.stack([values[name] for name in NAMES], axis=1).astype(np.float32)
    known = ~np.isnan(table)
    return pa.MapArray.from_arrays(
        pa.array(np.append(0, np.cumsum(known.sum(axis=1))), pa.int32()),
        pa.array(NAMES).take(pa.array(np.nonzero(known)[1])),
        pa.array(table[known]),
    )


def _within(values: Float64[np.ndarray, "record"], low: int, high: int) -> Float64[np.ndarray, "record"]:
    return np.where((values >= low) & (values <= high), values, np.nan)
