"""PTB-XL 1.0.3 (and 1.0.1): 21,799 ten-second ECGs of 18,869 patients with reports and 71 statements in six label sets.

Every code that a record lists counts, also at likelihood 0, as in the published benchmark. Label names lose the
underscores that some codes carry (NST_, _AVB). Folds 1-8 train, 9 validate, 10 test. Reports are mostly German.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow makes its compute functions when it is imported)

import ast
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool

from ecgfm.data import entry as rows
from ecgfm.data import labels, reports, tables, wfdb
from ecgfm.data.record import Record
from ecgfm.data.storage import Folder

_DATABASE = {
    "patient_id": pa.float64(),  # "15709.0"
    "age": pa.float32(),
    "sex": pa.float32(),
    "recording_date": pa.timestamp("s"),
    "report": pa.string(),
    "scp_codes": pa.string(),
    "strat_fold": pa.int32(),
}
_STATEMENTS = {
    "": pa.string(),  # the code: its column has no name
    "diagnostic": pa.float32(),
    "form": pa.float32(),
    "rhythm": pa.float32(),
    "diagnostic_class": pa.string(),
    "diagnostic_subclass": pa.string(),
}
OLDEST = 90.0  # the publisher writes 300 for an age above 89


@dataclass(frozen=True)
class Corpus:
    rate: Literal[100, 500] = 500  # Hz

    def entries(self, source: Folder) -> pa.Table:
        path = {100: "filename_lr", 500: "filename_hr"}[self.rate]
        database = tables.read(source, "ptbxl_database.csv", {**_DATABASE, path: pa.string()})
        statements = tables.read(source, "scp_statements.csv", _STATEMENTS)
        fold = database["strat_fold"]
        return rows.table(
            {
                "path": database[path],
                "subject": database["patient_id"].cast(pa.int64()),
                "time": database["recording_date"],
                "age": pc.if_else(pc.greater(database["age"], 89), OLDEST, database["age"]),
                "sex": pc.if_else(pc.equal(database["sex"], 0), "M", "F"),
                "report": reports.clean(database["report"]),
                "fold": fold,
                "split": pc.if_else(pc.less(fold, 9), "train", pc.if_else(pc.equal(fold, 9), "valid", "test")),
                "labels": labels.maps(_label_sets(statements, database["scp_codes"].to_pylist())),
            }
        )

    def read(self, source: Folder, entry: dict) -> Record:
        return rows.record(entry, wfdb.read(source, entry["path"]).signals)


def _label_sets(
    statements: pa.Table, listed: list[str]
) -> dict[str, tuple[tuple[str, ...], Bool[np.ndarray, "record name"]]]:
    """Which names of each set every record has, from the publisher's {code: likelihood} written as text."""
    columns = {name: statements[name].to_pylist() for name in _STATEMENTS}
    code = {name: i for i, name in enumerate(columns[""])}
    has = np.zeros((len(listed), len(code)), dtype=bool)
    for record, text in enumerate(listed):
        names = ast.literal_eval(text)
        if not names.keys() <= code.keys():
            raise ValueError(
                f"scp_statements.csv lacks {', '.join(names.keys() - code.keys())}: is it of this version?"
            )
        has[record, [code[name] for name in names]] = True
    diagnostic = [flag == 1 for flag in columns["diagnostic"]]
    groups = {
        "all": columns[""],
        "diag": [name if d else None for name, d in zip(columns[""], diagnostic, strict=True)],
        "sub": [name if d else None for name, d in zip(columns["diagnostic_subclass"], diagnostic, strict=True)],
        "super": [name if d else None for name, d in zip(columns["diagnostic_class"], diagnostic, strict=True)],
        "form": [name if f == 1 else None for name, f in zip(columns[""], columns["form"], strict=True)],
        "rhythm": [name if r == 1 else None for name, r in zip(columns[""], columns["rhythm"], strict=True)],
    }
    return {name: _grouped(has, group) for name, group in groups.items()}


def _grouped(
    has: Bool[np.ndarray, "record code"], group: list[str | None]
) -> tuple[tuple[str, ...], Bool[np.ndarray, "record name"]]:
    """Codes put together under the name that each belongs to; codes without one are no part of the set."""
    names = tuple(dict.fromkeys(name.strip("_") for name in group if name))
    belongs = np.array([[bool(name) and name.strip("_") == of for of in names] for name in group])
    return names, (has.astype(np.uint8) @ belongs.astype(np.uint8)) > 0
