"""CODE-15%: 345,779 exams of 233,770 patients at 400 Hz, 7 or 10 seconds padded with zeros to 4,096 samples.

Samples are floats in millivolts. The last row of each part has exam_id 0 and is all zero: exams.csv does not list it.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow makes its compute functions when it is imported)

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ecgfm.data import entry as rows
from ecgfm.data import hdf5, labels, tables
from ecgfm.data.record import LEADS, Record, Signal
from ecgfm.data.storage import Folder

ABNORMALITIES = ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")
_FLAGS = ("is_male", *ABNORMALITIES, "normal_ecg")
_EXAMS = {
    "exam_id": pa.int64(),
    "patient_id": pa.string(),
    "age": pa.float32(),
    "trace_file": pa.string(),
    **dict.fromkeys(_FLAGS, pa.bool_()),
}


@dataclass(frozen=True)
class Corpus:
    parts: tuple[int, ...] = tuple(range(18))  # which of the exams_part<n>.hdf5 to read; all of them must be there

    def entries(self, source: Folder) -> pa.Table:
        files = [f"exams_part{part}.hdf5" for part in self.parts]
        if missing := [name for name in files if not source.exists(name)]:
            raise FileNotFoundError(
                f"no {', '.join(missing)} in {source}: unpack the zip files of the same names there, or name with "
                f"--corpus.parts the parts that you have; {tables.LAYOUTS}"
            )
        exams = tables.read(source, "exams.csv", _EXAMS)
        table = pa.concat_tables(
            [_in_file(exams.filter(pc.equal(exams["trace_file"], name)), source, name) for name in files]
        )
        flags = {name: table[name].to_numpy(zero_copy_only=False).astype(bool) for name in _FLAGS}
        return rows.table(
            {
                "path": table["path"],
                "subject": table["patient_id"],
                "age": table["age"],
                "sex": pc.if_else(table["is_male"], "M", "F"),
                "labels": labels.maps(
                    {
                        "all": (ABNORMALITIES, np.stack([flags[name] for name in ABNORMALITIES], axis=1)),
                        "normal": (("normal_ecg",), flags["normal_ecg"][:, None]),
                    }
                ),
            }
        )

    def read(self, source: Folder, entry: dict) -> Record:
        samples = hdf5.tracing(source, entry["path"])
        return rows.record(entry, (Signal("ecg", LEADS, 400.0, samples, gain=(1.0,) * 12, baseline=(0.0,) * 12),))


def _in_file(exams: pa.Table, source: Folder, name: str) -> pa.Table:
    """The exams of one part with their paths. One that the part lacks has row -1, and is refused when it is read."""
    with hdf5.told(source, name):
        in_file = pa.array(hdf5.dataset(source, name, "exam_id")[:], pa.int64())
    row = pc.fill_null(pc.index_in(exams["exam_id"], value_set=in_file), -1)
    path = pc.binary_join_element_wise(name, row.cast(pa.string()), "#")
    return exams.append_column("path", path)
