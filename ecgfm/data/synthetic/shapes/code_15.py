"""CODE-15's files: one table of exams, and HDF5 parts of tracings at 400 Hz, padded with zeros at both ends."""

import csv
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float32

from ecgfm.data.synthetic.codes import CODE
from ecgfm.data.synthetic.factors import Row
from ecgfm.data.synthetic.leads import twelve
from ecgfm.data.synthetic.people import visits
from ecgfm.data.synthetic.recording import record
from ecgfm.data.synthetic.visit import Visit

PARTS, RATE, LENGTH = 18, 400, 4096
COLUMNS = (
    "exam_id",
    "age",
    "is_male",
    "nn_predicted_age",
    *CODE,
    "patient_id",
    "death",
    "timey",
    "normal_ecg",
    "trace_file",
)


def tracing(visit: Visit, per_millivolt: float) -> Float32[np.ndarray, "4096 12"]:
    """7 or 10 seconds in the middle of zeros."""
    seconds = float(visit.rng("length").choice([7.0, 10.0]))
    steps = twelve(np.rint(record(visit, RATE, seconds).noisy * 1000).astype(np.int32))
    padded = np.zeros((LENGTH, 12), dtype=np.float32)
    first = (LENGTH - steps.shape[1]) // 2
    padded[first : first + steps.shape[1]] = steps.T / 1000 * per_millivolt
    return padded


def write(folder: Path, seed: int, records: int) -> Iterator[Row]:
    """Exams go to the parts in turn; each part ends in a row of zeros under exam_id 0."""
    parts = [h5py.File(folder / f"exams_part{part}.hdf5", "w") for part in range(PARTS)]
    for file in parts:
        file.create_dataset("tracings", (0, LENGTH, 12), "f4", maxshape=(None, LENGTH, 12), chunks=(1, LENGTH, 12))
        file.create_dataset("exam_id", (0,), "i8", maxshape=(None,))
    with open(folder / "exams.csv", "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for count, visit in enumerate(visits(seed, records)):
            file, exam = parts[count % PARTS], 100_001 + 7 * count
            _append(file, exam, tracing(visit, per_millivolt=1.0))
            marks = [visit.present[finding] for finding in CODE.values()]
            normal = {f for f, there in visit.present.items() if there} == {"sinus_rhythm"}
            person = (int(visit.age), visit.subject.sex == "M", f"{visit.age:.3f}")
            trace = f"exams_part{count % PARTS}.hdf5"
            writer.writerow((exam, *person, *marks, 1000 + visit.subject.index, "", "", normal, trace))
            yield Row(f"{trace}#{count // PARTS}", str(1000 + visit.subject.index), visit)
    for file in parts:
        _append(file, 0, np.zeros((LENGTH, 12), dtype=np.float32))
        file.close()


def _append(file: h5py.File, exam: int, samples: Float32[np.ndarray, "4096 12"]) -> None:
    for name, value in (("tracings", samples), ("exam_id", exam)):
        dataset = file[name]
        dataset.resize(len(dataset) + 1, axis=0)
        dataset[-1] = value
