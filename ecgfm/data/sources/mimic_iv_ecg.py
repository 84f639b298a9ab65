"""MIMIC-IV-ECG 1.0: 800,035 twelve-lead ECGs of 161,352 subjects with the cart's own reports and measurements.

Tables are joined on (subject_id, study_id), never by row: they do not hold the same rows. Headers list aVF before aVL,
which the reader by name puts right. Times are shifted per subject by the publisher. Neither age nor sex is given.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow makes its compute functions when it is imported)

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ecgfm.data import entry as rows
from ecgfm.data import measurements, reports, tables, wfdb
from ecgfm.data.measurements import MEASUREMENTS
from ecgfm.data.record import Record
from ecgfm.data.storage import Folder

_KEY = {"subject_id": pa.string(), "study_id": pa.string()}
_LISTED = {**_KEY, "ecg_time": pa.timestamp("s"), "path": pa.string()}
_REPORTS = [f"report_{i}" for i in range(18)]
_MEASURED = {name: "rr_interval" if name == "rr" else name for name in MEASUREMENTS}  # our name -> the column
_CARTS = {**_KEY, **dict.fromkeys(_REPORTS, pa.string()), **dict.fromkeys(_MEASURED.values(), pa.float64())}


@dataclass(frozen=True)
class Corpus:
    def entries(self, source: Folder) -> pa.Table:
        listed = tables.read(source, "record_list.csv", _LISTED)
        carts = tables.read(source, "machine_measurements.csv", _CARTS)
        carts = carts.take(pc.index_in(_key(listed), value_set=_key(carts)))  # a left join that keeps the order
        measured = {name: carts[column].to_numpy() for name, column in _MEASURED.items()}
        return rows.table(
            {
                "path": listed["path"],
                "subject": listed["subject_id"],
                "time": listed["ecg_time"],
                "report": reports.join([carts[name] for name in _REPORTS]),
                "measurements": measurements.maps(measured),
            }
        )

    def read(self, source: Folder, entry: dict) -> Record:
        return rows.record(entry, wfdb.read(source, entry["path"]).signals)


def _key(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*(table[name] for name in _KEY), "/")
