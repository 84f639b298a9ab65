"""CPSC 2018: 6,877 recordings of 6 to 60 seconds at 500 Hz with nine classes, in either of two forms on disk.

The original form is A0001.mat, ... (a struct of sex, age and millivolts, which does not say the rate) and
REFERENCE.csv. The other is WFDB, of the CinC challenges: there the header names the classes in words (2020) or SNOMED
codes (2021). Both give the original class names. Patients are not told apart: every recording is its own subject.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow makes its compute functions when it is imported)

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ecgfm.data import entry as rows
from ecgfm.data import labels, mat, snomed, tables, wfdb
from ecgfm.data.quality import Refusal
from ecgfm.data.record import LEADS, Record, Signal
from ecgfm.data.storage import Folder

CLASSES = ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")  # 1 to 9 of REFERENCE.csv
CODES = {
    "426783006": "Normal",
    "164889003": "AF",
    "270492004": "I-AVB",
    "164909002": "LBBB",
    "59118001": "RBBB",
    "284470004": "PAC",
    "164884008": "PVC",  # the challenge's code for ventricular ectopics
    "429622005": "STD",
    "164931005": "STE",
}
_SEXES = {"Male": "M", "Female": "F"}
_MARKS = ("First_label", "Second_label", "Third_label")


@dataclass(frozen=True)
class Corpus:
    def entries(self, source: Folder) -> pa.Table:
        if references := list(source.names(suffix="REFERENCE.csv")):
            return _structs(source, references)
        headers = list(source.names(suffix=".hea"))
        if not headers:
            raise tables.absent(source, "REFERENCE.csv and no .hea file")
        return rows.of_headers(headers)

    def read(self, source: Folder, entry: dict) -> Record:
        if entry["path"].endswith(".mat"):
            return _struct(source, entry)
        recording = wfdb.read(source, entry["path"])
        classes = {"all": tuple(CODES.get(name, name) for name in snomed.codes(recording.comments))}
        return rows.record(entry, recording.signals, age=recording.age, sex=recording.sex, labels=classes)


def _structs(source: Folder, references: list[str]) -> pa.Table:
    """What the REFERENCE.csv of the archives list, each once, wherever below the folder the recordings lie."""
    columns = {"Recording": pa.string(), **dict.fromkeys(_MARKS, pa.int8())}
    listed = pa.concat_tables([tables.read(source, reference, columns) for reference in references])
    listed = listed.take(pc.index_in(pc.unique(listed["Recording"]), value_set=listed["Recording"]))
    paths = {name.rsplit("/", 1)[-1]: name for name in source.names(suffix=".mat")}
    files = [f"{name}.mat" for name in listed["Recording"].to_pylist()]
    marks = np.stack([pc.fill_null(listed[mark], 0).to_numpy() for mark in _MARKS], axis=1)
    has = (marks[:, :, None] == np.arange(1, len(CLASSES) + 1)).any(axis=1)
    return rows.table(
        {
            "path": [paths.get(name, name) for name in files],  # one that is not there is refused when it is read
            "subject": listed["Recording"],
            "labels": labels.maps({"all": (CLASSES, has)}),
        }
    )


def _struct(source: Folder, entry: dict) -> Record:
    try:
        found = mat.read(source.read(entry["path"]), "ECG")
        sex, age, samples = found["sex"], np.asarray(found["age"], float), np.ascontiguousarray(found["data"])
    except FileNotFoundError:
        raise Refusal("missing-file", "struct") from None
    except (ValueError, KeyError):
        raise Refusal("unreadable-signal", "no struct ECG with sex, age and data") from None
    if samples.ndim != 2 or len(samples) != 12 or age.size != 1:
        raise Refusal("unreadable-signal", "data are not twelve rows of numbers, or age is no number")
    signal = Signal("ecg", LEADS, 500.0, samples, gain=(1.0,) * 12, baseline=(0.0,) * 12)
    known = {"age": None if np.isnan(age).any() else float(age.item()), "sex": _SEXES.get(str(sex))}
    return rows.record(entry, (signal,), **known)
