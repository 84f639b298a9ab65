"""The paper's choice of a false report: one of the farthest, as a pure function of (seed, step, record)."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int32, Int64

from ecgfm.draw import uniform
from ecgfm.negatives.index import FarLists

Choice = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]  # reports, records, seed, step -> reports


def choose(
    lists: FarLists | Int32[np.ndarray, "report k"],
    reports: Int64[np.ndarray, "B"],
    records: Int64[np.ndarray, "B"],
    seed: int,
    step: int,
) -> Int64[np.ndarray, "B"]:
    """One of the far list of each record's report. A record without a report (-1) gets none."""
    chosen = np.full(len(reports), -1, np.int64)
    rows = np.flatnonzero(reports >= 0)
    far = lists[reports[rows]]
    place = uniform(seed, f"negative/{step}", torch.from_numpy(records[rows]), 1).numpy()[:, 0]
    chosen[rows] = far[np.arange(len(rows)), (place * far.shape[1]).astype(np.int64)]
    return chosen
