"""CODE-test: 827 exams at 400 Hz with six abnormalities marked by seven readers; a test set and nothing else.

Its two descriptions disagree on the order of the augmented leads, so the order is inferred from the tracings. Samples
are floats in 1e-4 V. Each reader is a label set of its own: the gold standard, two cardiologists, cardiology and
emergency residents, medical students, and the neural network of the original paper.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow makes its compute functions when it is imported)

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool

from ecgfm.data import entry as rows
from ecgfm.data import hdf5, labels, limbs, tables
from ecgfm.data.record import LEADS, Record, Signal
from ecgfm.data.sources.code_15 import ABNORMALITIES
from ecgfm.data.storage import Folder

READERS = (
    "gold_standard",
    "cardiologist1",
    "cardiologist2",
    "cardiology_residents",
    "emergency_residents",
    "medical_students",
    "dnn",
)
_PER_MILLIVOLT = 10.0  # of 1e-4 V
_TRACINGS = "ecg_tracings.hdf5"


@dataclass(frozen=True)
class Corpus:
    def entries(self, source: Folder) -> pa.Table:
        root = "data/" if source.exists("data/attributes.csv") else ""  # as the archive unpacks, or from within
        patients = tables.read(source, f"{root}attributes.csv", {"age": pa.float32(), "sex": pa.string()})
        if not source.exists(root + _TRACINGS):
            raise tables.absent(source, root + _TRACINGS)
        with hdf5.told(source, root + _TRACINGS):
            _order(source, root + _TRACINGS)  # tracings that cannot be named are found out now
        number = pa.array(range(len(patients))).cast(pa.string())
        return rows.table(
            {
                "path": pc.binary_join_element_wise(root + _TRACINGS, number, "#"),
                "subject": number,  # every exam is another patient's
                "age": patients["age"],
                "sex": patients["sex"],
                "split": ["test"] * len(patients),
                "labels": labels.maps({reader: _marked(source, root, reader) for reader in READERS}),
            }
        )

    def read(self, source: Folder, entry: dict) -> Record:
        samples = hdf5.tracing(source, entry["path"])
        names = _order(source, entry["path"].rsplit("#", 1)[0])
        samples = samples[[names.index(lead) for lead in LEADS]]
        gain, baseline = (_PER_MILLIVOLT,) * 12, (0.0,) * 12
        return rows.record(entry, (Signal("ecg", LEADS, 400.0, samples, gain, baseline),))


def _marked(source: Folder, root: str, reader: str) -> tuple[tuple[str, ...], Bool[np.ndarray, "record name"]]:
    table = tables.read(source, f"{root}annotations/{reader}.csv", dict.fromkeys(ABNORMALITIES, pa.int8()))
    return ABNORMALITIES, np.stack([table[name].to_numpy() == 1 for name in ABNORMALITIES], axis=1)


@lru_cache(maxsize=4)
def _order(source: Folder, name: str) -> tuple[str, ...]:
    """The file's own order of leads, from its first records."""
    try:
        return limbs.order(hdf5.dataset(source, name, "tracings")[:32].reshape(-1, 12))
    except ValueError as error:
        raise ValueError(f"{name} in {source}: {error}") from None
