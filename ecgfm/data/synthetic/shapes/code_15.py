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
    files = [h5py.File(folder / f"exams_part{part}.hdf5", "w") for part in range(PARTS)]
    parts = [(_growing(file, "tracings", (LENGTH, 12), "f4"), _growing(file, "exam_id", (), "i8")) for file in files]
    with open(folder / "exams.csv", "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for count, visit in enumerate(visits(seed, records)):
            exam = 100_001 + 7 * count
            _append(parts[count % PARTS], exam, tracing(visit, per_millivolt=1.0))
            marks = [visit.present[finding] for finding in CODE.values()]
            normal = {f for f, there in visit.present.items() if there} == {"sinus_rhythm"}
            person = (int(visit.age), visit.subject.sex == "M", f"{visit.age:.3f}")
            trace = f"exams_part{count % PARTS}.hdf5"
            writer.writerow((exam, *person, *marks, 1000 + visit.subject.index, "", "", normal, trace))
            yield Row(f"{trace}#{count // PARTS}", str(1000 + visit.subject.index), visit)
    for file, part in zip(files, parts, strict=True):
        _append(part, 0, np.zeros((LENGTH, 12), dtype=np.float32))
        file.close()


def _growing(file: h5py.File, name: str, row: tuple[int, ...], kind: str) -> h5py.Dataset:
    return file.create_dataset(name, (0, *row), kind, maxshape=(None, *row), chunks=(1, *row))


def _append(part: tuple[h5py.Dataset, h5py.Dataset], exam: int, samples: Float32[np.ndarray, "4096 12"]) -> None:
    for dataset, value in zip(part, (samples, exam), strict=True):
        dataset.resize(len(dataset) + 1, axis=0)
        dataset[-1] = value
