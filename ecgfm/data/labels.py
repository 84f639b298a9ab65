"""Labels as they come in tables, a column of yes and no per name, as the maps that entries hold."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from jaxtyping import Bool


def maps(sets: Mapping[str, tuple[tuple[str, ...], Bool[np.ndarray, "record name"]]]) -> pa.MapArray:
    """Per record {label set: its names}, from {label set: (names, which of them each record has)}."""
    lists = pa.concat_arrays([_lists(names, flags) for names, flags in sets.values()])
    count, width = len(lists) // len(sets), len(sets)
    by_record = np.arange(len(lists)).reshape(width, count).T.ravel()
    return pa.MapArray.from_arrays(
        pa.array(np.arange(count + 1) * width, pa.int32()),
        pa.array(list(sets)).take(pa.array(by_record // max(count, 1))),
        lists.take(pa.array(by_record)),
    )


def _lists(names: tuple[str, ...], flags: Bool[np.ndarray, "record name"]) -> pa.ListArray:
    ends = np.cumsum(flags.sum(axis=1))
    values = pa.array(names, pa.string()).take(pa.array(np.nonzero(flags)[1]))
    return pa.ListArray.from_arrays(pa.array(np.append(0, ends), pa.int32()), values)
