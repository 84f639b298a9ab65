"""Chapman-Shaoxing-Ningbo (PhysioNet ecg-arrhythmia 1.0.0): 45,152 ten-second ECGs, diagnoses as SNOMED codes.

Labels are the publisher's acronyms by exact code: there AF is atrial *flutter* and AFIB fibrillation, and acronyms
contain one another. Where several acronyms share a code the first of the table, the general one, is taken. Patients
are not told apart: every recording is its own subject.
"""

from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from ecgfm.data import entry as rows
from ecgfm.data import snomed, tables, wfdb
from ecgfm.data.record import Record
from ecgfm.data.storage import Folder

_CONDITIONS = "ConditionNames_SNOMED-CT.csv"


@dataclass(frozen=True)
class Corpus:
    def entries(self, source: Folder) -> pa.Table:
        _acronyms(source)  # a folder without the table is found out now and not after hours
        headers = list(source.names("WFDBRecords", suffix=".hea"))
        if not headers:
            raise tables.absent(source, "WFDBRecords/*/*/*.hea")
        return rows.of_headers(headers)

    def read(self, source: Folder, entry: dict) -> Record:
        recording = wfdb.read(source, entry["path"])
        acronyms = _acronyms(source)
        found = dict.fromkeys(acronyms.get(code, code) for code in snomed.codes(recording.comments))
        labels = {"all": tuple(found)}
        return rows.record(entry, recording.signals, age=recording.age, sex=recording.sex, labels=labels)


@lru_cache(maxsize=4)
def _acronyms(source: Folder) -> dict[str, str]:
    """SNOMED code -> acronym."""
    table = tables.read(source, _CONDITIONS, {"Acronym Name": pa.string(), "Snomed_CT": pa.string()})
    pairs = zip(table["Snomed_CT"].to_pylist(), table["Acronym Name"].to_pylist(), strict=True)
    return dict(reversed([(code.strip(), name.strip()) for code, name in pairs if code and name]))
