"""PhysioNet/CinC Challenge 2021 (1.0.3): eight sets of recordings at 257 to 1,000 Hz with diagnoses as SNOMED codes.

Two label sets: "scored" holds the 26 classes of the challenge, in which equivalent codes are one ("CRBBB|RBBB"), and
"all" every code by its abbreviation. Patients are not told apart: every recording is its own subject. The dates in the
headers are those of a conversion and are not taken. PTB-XL, CPSC 2018 and most of Chapman-Shaoxing-Ningbo are contained
here, some under other names.
"""

from dataclasses import dataclass

import pyarrow as pa

from ecgfm.data import entry as rows
from ecgfm.data import snomed, tables, wfdb
from ecgfm.data.record import Record
from ecgfm.data.storage import Folder

SETS = (
    "chapman_shaoxing",
    "cpsc_2018",
    "cpsc_2018_extra",
    "georgia",
    "ningbo",
    "ptb",
    "ptb-xl",
    "st_petersburg_incart",
)


@dataclass(frozen=True)
class Corpus:
    sets: tuple[str, ...] = SETS  # which of the folders to read; all of them must be there

    def entries(self, source: Folder) -> pa.Table:
        root = "training/" if source.exists("training") else ""  # the archive, or from within it
        headers = {name: list(source.names(root + name, suffix=".hea")) for name in self.sets}
        if missing := [name for name, found in headers.items() if not found]:
            raise FileNotFoundError(
                f"no {root}{{{','.join(missing)}}}/*/*.hea in {source}: give the folder that holds training/, or "
                f"name with --corpus.sets the folders that you have; {tables.LAYOUTS}"
            )
        return rows.of_headers([header for found in headers.values() for header in found])

    def read(self, source: Folder, entry: dict) -> Record:
        recording = wfdb.read(source, entry["path"])
        codes = snomed.codes(recording.comments)
        labels = {"scored": snomed.scored(codes), "all": snomed.abbreviated(codes)}
        return rows.record(entry, recording.signals, age=recording.age, sex=recording.sex, labels=labels)
