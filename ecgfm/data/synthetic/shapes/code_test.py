"""CODE-test's folder: tracings in 1e-4 V with aVL and aVF before aVR, attributes, and seven readers' annotations."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import h5py
import numpy as np

from ecgfm.data.synthetic.codes import CODE
from ecgfm.data.synthetic.factors import Row
from ecgfm.data.synthetic.files import put
from ecgfm.data.synthetic.people import strangers
from ecgfm.data.synthetic.shapes.code_15 import LENGTH, tracing
from ecgfm.data.synthetic.visit import Visit

ON_DISK = [0, 1, 2, 4, 5, 3, 6, 7, 8, 9, 10, 11]
MISTAKES = {  # how often a reader marks the opposite
    "gold_standard": 0.0,
    "cardiologist1": 0.01,
    "cardiologist2": 0.01,
    "cardiology_residents": 0.015,
    "emergency_residents": 0.025,
    "medical_students": 0.03,
    "dnn": 0.01,
}


def write(folder: Path, seed: int, records: int) -> Iterator[Row]:
    data = folder / "data"
    data.mkdir()
    seen = []
    with h5py.File(data / "ecg_tracings.hdf5", "w") as file:
        tracings = file.create_dataset("tracings", (records, LENGTH, 12), "f8", chunks=(1, LENGTH, 12))
        for row, visit in enumerate(islice(strangers(seed), records)):
            tracings[row] = tracing(visit, per_millivolt=10.0)[:, ON_DISK]
            seen.append(visit)
            yield Row(f"data/ecg_tracings.hdf5#{row}", str(row), visit)
    people = [f"{int(visit.age)},{visit.subject.sex}" for visit in seen]
    put(data, "attributes.csv", "\n".join(["age,sex", *people]) + "\n")
    for reader, mistakes in MISTAKES.items():
        put(data, f"annotations/{reader}.csv", _annotations(seen, reader, mistakes))


def _annotations(seen: list[Visit], reader: str, mistakes: float) -> str:
    """The network's table has a nameless column of row numbers, as published."""
    indexed = reader == "dnn"
    lines = [",".join(([""] if indexed else []) + list(CODE))]
    for row, visit in enumerate(seen):
        wrong = visit.rng(f"reader/{reader}").random(len(CODE)) < mistakes
        marks = np.array([visit.present[finding] for finding in CODE.values()]) ^ wrong
        lines.append(",".join(([str(row)] if indexed else []) + [str(int(mark)) for mark in marks]))
    return "\n".join(lines) + "\n"
