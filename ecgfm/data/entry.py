"""The list of a corpus: a row per record that should exist, from the publisher's tables, before a signal is read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ecgfm.data.record import Record, Signal

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
    return pa.table([_array(columns.get(f.name), f.type, rows) for f in SCHEMA], schema=SCHEMA)


def _array(column: Any, kind: pa.DataType, rows: int) -> pa.Array | pa.ChunkedArray:
    if column is None:
        return pa.nulls(rows, kind)
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column.cast(kind)
    return pa.array(column, kind, from_pandas=True)


def of_headers(names: Sequence[str]) -> pa.Table:
    """Entries for WFDB headers that no table tells about: nothing says whose they are, so each is its own subject."""
    paths = [name.removesuffix(".hea") for name in names]
    return table({"path": paths, "subject": [path.rsplit("/", 1)[-1] for path in paths]})


def record(entry: Mapping[str, Any], signals: tuple[Signal, ...], **found: Any) -> Record:
    """A row of an entry table with what was read for it; what was found counts where the table has no value."""
    known = {name: entry[name] for name in ("time", "age", "sex", "report", "fold") if entry[name] is not None}
    if entry["labels"] is not None:
        known["labels"] = {name: tuple(values) for name, values in entry["labels"]}
    if entry["measurements"] is not None:
        known["measurements"] = dict(entry["measurements"])
    return Record(entry["path"], entry["subject"], signals, **{**found, **known})
