"""The side table of truths, which only evaluation reads: every hidden factor of every recording."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.data.synthetic.visit import Visit

NAME = "factors.parquet"
AT_ONCE = 5000


class Row(NamedTuple):
    """A recording that was written."""

    path: str  # as the corpus names it
    subject: str  # as the corpus names it, or the path where it names none
    visit: Visit
    lost: str | None = None  # what befell its leads


SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("visit", pa.int32()),
        pa.field("years", pa.float32()),  # since the subject's first visit
        pa.field("age", pa.float32()),
        pa.field("sex", pa.string()),
        pa.field("rhythm", pa.string()),
        pa.field("territory", pa.string()),  # of T inversion
        *(pa.field(name, pa.float32()) for name in ("rate", "pr", "qrs", "qt", "qtc", "axis", "left_atrium")),
        pa.field("develops", pa.string()),  # the finding that the subject has not from the start, if any
        pa.field("years_to_onset", pa.float32()),  # below 0 once it has developed
        pa.field("lost", pa.string()),
        *(pa.field(finding, pa.bool_()) for finding in FINDINGS),
        *(pa.field(f"{finding}_severity", pa.float32()) for finding in FINDINGS),
    ]
)


def write(folder: Path, rows: Iterator[Row]) -> None:
    """The truths of these recordings, each of which is on disk once it has been asked for."""
    with pq.ParquetWriter(folder / NAME, SCHEMA) as writer:
        while truths := [_truths(row) for row in islice(rows, AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(truths, schema=SCHEMA))


def _truths(row: Row) -> dict:
    visit = row.visit
    person = visit.subject
    finding, onset = next(iter(person.onset.items()), (None, None))
    return {
        "path": row.path,
        "subject": row.subject,
        "visit": visit.number,
        "years": visit.years,
        "age": visit.age,
        "sex": person.sex,
        "rhythm": visit.rhythm,
        "territory": visit.territory,
        "rate": visit.rate,
        "pr": visit.pr if visit.rhythm == "sinus" else None,
        "qrs": visit.qrs,
        "qt": visit.qt(visit.qrs),
        "qtc": visit.qtc,
        "axis": visit.axis,
        "left_atrium": visit.left_atrium,
        "develops": finding,
        "years_to_onset": None if onset is None else onset - visit.years,
        "lost": row.lost,
        **visit.present,
        **{f"{f}_severity": s for f, s in visit.severity.items()},
    }
