"""The list of a corpus: one row per record that should exist, made from the publisher's tables before a signal is read."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),  # relative to the corpus; "file.hdf5#12" is row 12 of a file
        pa.field("subject", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("s")),
        pa.field("age", pa.float32()),
        pa.field("sex", pa.string()),  # "F" or "M"
        pa.field("report", pa.string()),  # cleaned
        pa.field("fold", pa.int32()),  # the publisher's cross-validation fold
        pa.field("split", pa.string()),  # the publisher's split, where there is one: "train", "valid" or "test"
        pa.field("labels", pa.map_(pa.string(), pa.list_(pa.string()))),
        pa.field("measurements", pa.map_(pa.string(), pa.float32())),
    ]
)


def table(columns: Mapping[str, Sequence | np.ndarray | pa.Array | pa.ChunkedArray]) -> pa.Table:
    """An entry table from the columns a corpus has; the others are null."""
    rows = len(columns["path"])
    arrays = [
        pa.nulls(rows, f.type)
        if f.name not in columns
        else columns[f.name].cast(f.type)
        if isinstance(columns[f.name], pa.Array | pa.ChunkedArray)
        else pa.array(columns[f.name], f.type, from_pandas=True)
        for f in SCHEMA
    ]
    return pa.table(arrays, schema=SCHEMA)
