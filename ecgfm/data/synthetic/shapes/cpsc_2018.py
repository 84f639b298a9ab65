"""CPSC 2018's original form: a MATLAB struct per recording, of 6 to 60 seconds, and one table of up to three labels."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from scipy.io import savemat

from ecgfm.data.synthetic.codes import CPSC, groups
from ecgfm.data.synthetic.factors import Row
from ecgfm.data.synthetic.files import put
from ecgfm.data.synthetic.leads import twelve
from ecgfm.data.synthetic.people import strangers
from ecgfm.data.synthetic.recording import record
from ecgfm.data.synthetic.visit import Visit


def write(folder: Path, seed: int, records: int) -> Iterator[Row]:
    labelled = ((visit, found) for visit in strangers(seed) if (found := labels(visit)))
    lines = ["Recording,First_label,Second_label,Third_label"]
    for count, (visit, found) in zip(range(1, records + 1), labelled, strict=False):
        drawn = record(visit, rate=500, seconds=seconds(visit), mains_hz=50)
        name = f"A{count:04}"
        person = {"sex": {"F": "Female", "M": "Male"}[visit.subject.sex], "age": np.uint8(visit.age)}
        content = BytesIO()
        savemat(content, {"ECG": {**person, "data": twelve(np.rint(drawn.noisy * 1000).astype(np.int32)) / 1000}})
        put(folder, f"{name}.mat", content.getvalue())
        lines.append(",".join([name, *(str(label) for label in (*found, "", "")[:3])]))
        yield Row(f"{name}.mat", name, visit)
    put(folder, "REFERENCE.csv", "\n".join(lines) + "\n")


def labels(visit: Visit) -> list[int]:
    """Of the nine classes; none where something else was found, whose recordings the corpus does not hold."""
    found = [CPSC[name] for name in groups(visit) if name in CPSC]
    return found or ([1] if set(groups(visit)) <= {"sinus_rhythm"} else [])


def seconds(visit: Visit) -> float:
    """Most last 10 s or a little more, a few up to a minute."""
    rng = visit.rng("length")
    return round(float(np.clip(6 + rng.exponential(9), 6, 60)), 3)
