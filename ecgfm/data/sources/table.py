"""Your own corpus: WFDB recordings, and a csv or parquet table whose columns are named on the command line.

Paths in the table are relative to the folder, with or without ".hea". A column that is not named is absent: without a
subject every recording is its own, without a time the header's is taken. Age and sex come from the headers. Labels
make one set, "all".
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow makes its compute functions when it is imported)

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecgfm.data import entry as rows
from ecgfm.data import reports, tables, wfdb
from ecgfm.data.record import Record
from ecgfm.data.storage import Folder


@dataclass(frozen=True)
class Corpus:
    table: str = "records.csv"  # relative to the folder: .csv or .parquet
    path: str = "path"  # the names of the columns
    subject: str = ""
    time: str = ""  # as 2024-05-31 12:00:00, or a parquet table's own times
    report: str = ""
    labels: str = ""
    separator: str = ";"  # between the labels of a record

    def entries(self, source: Folder) -> pa.Table:
        named = {"path": self.path, "subject": self.subject or self.path}
        named |= {name: getattr(self, name) for name in ("time", "report", "labels") if getattr(self, name)}
        table = self._table(source, list(dict.fromkeys(named.values())))
        found = {name: table[column] for name, column in named.items()}
        if found["path"].null_count or found["subject"].null_count:
            raise ValueError(f"{self.table} in {source} has rows without a {self.path} or a {named['subject']}")
        found["path"] = pc.replace_substring_regex(found["path"], r"\.hea$", "")
        if self.time:
            found["time"] = self._times(source, found["time"])
        if self.report:
            found["report"] = reports.clean(found["report"])
        if self.labels:
            found["labels"] = [[("all", self._split(text))] for text in found["labels"].to_pylist()]
        return rows.table(found)

    def read(self, source: Folder, entry: dict) -> Record:
        found = wfdb.read(source, entry["path"])
        return rows.record(entry, found.signals, time=found.time, age=found.age, sex=found.sex)

    def _table(self, source: Folder, columns: list[str]) -> pa.Table:
        """These columns as strings; times as they are, where a parquet table has them as such."""
        if not self.table.endswith(".parquet"):
            return tables.read(source, self.table, dict.fromkeys(columns, pa.string()))
        if not source.exists(self.table):
            raise tables.absent(source, self.table)
        with source.file(self.table) as file:
            parquet = pq.ParquetFile(file)
            if not set(columns) <= set(parquet.schema_arrow.names):
                raise tables.lacking(source, self.table, columns, parquet.schema_arrow.names)
            found = parquet.read(columns)
        times = [name for name in columns if name == self.time and pa.types.is_timestamp(found[name].type)]
        return pa.table({name: found[name] if name in times else found[name].cast(pa.string()) for name in columns})

    def _times(self, source: Folder, found: pa.ChunkedArray) -> pa.ChunkedArray:
        """Whole seconds. A time with a zone counts in UTC."""
        if pa.types.is_timestamp(found.type):  # of a parquet table, in any unit
            return found.cast(pa.timestamp("s"), safe=False)
        try:
            return found.cast(pa.timestamp("us")).cast(pa.timestamp("s"), safe=False)
        except pa.ArrowInvalid:  # its message quotes the value
            raise ValueError(
                f"column {self.time!r} of {self.table} in {source} holds something else than times "
                "like 2024-05-31 12:00:00"
            ) from None

    def _split(self, text: str | None) -> list[str]:
        return list(dict.fromkeys(filter(None, map(str.strip, (text or "").split(self.separator)))))
