"""The PhysioNet/CinC challenge of 2021: eight sets at their own rates and lengths, diagnoses as SNOMED codes."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ecgfm.data.record import LEADS
from ecgfm.data.synthetic.codes import snomed
from ecgfm.data.synthetic.factors import Row
from ecgfm.data.synthetic.files import header, mat4, put
from ecgfm.data.synthetic.people import strangers
from ecgfm.data.synthetic.recording import record
from ecgfm.data.synthetic.shapes import cpsc_2018


class Set(NamedTuple):
    name: str  # of the first recording, as a format
    rate: int
    seconds: float | None  # None: of various lengths
    gain: str


SETS = {
    "chapman_shaoxing": Set("JS{:05}", 500, 10, "1000.0(0)/mV"),
    "cpsc_2018": Set("A{:04}", 500, None, "1000.0(0)/mV"),
    "cpsc_2018_extra": Set("Q{:04}", 500, None, "1000.0(0)/mV"),
    "georgia": Set("E{:05}", 500, 10, "1000.0(0)/mV"),
    "ningbo": Set("JS1{:04}", 500, 10, "1000.0(0)/mV"),
    "ptb": Set("S{:04}", 1000, 30, "1000.0(0)/mV"),
    "ptb-xl": Set("HR{:05}", 500, 10, "1000.0(0)/mv"),
    "st_petersburg_incart": Set("I{:04}", 257, 60, "1000.0(0)/mV"),
}
GROUP = 1000  # recordings of a folder g1, g2, ...


def write(folder: Path, seed: int, records: int) -> Iterator[Row]:
    """The sets in turn, so that each holds an eighth of the recordings."""
    for count, visit in zip(range(records), strangers(seed), strict=False):
        number, kind = count // len(SETS), list(SETS)[count % len(SETS)]
        form = SETS[kind]
        name = form.name.format(number + 1)
        path = f"training/{kind}/g{number // GROUP + 1}/{name}"
        seconds = form.seconds or cpsc_2018.seconds(visit)
        samples = record(visit, form.rate, seconds, mains_hz=50).digital(1000)
        comments = [f"# Age: {int(visit.age)}", f"# Sex: {'Female' if visit.subject.sex == 'F' else 'Male'}"]
        comments += [f"# Dx: {snomed(visit)}", "# Rx: Unknown", "# Hx: Unknown", "# Sx: Unknown"]
        line = f"{name} 12 {form.rate} {samples.shape[1]}"
        text = header(line, f"{name}.mat 16x1+24", form.gain, LEADS, samples, comments, signed=True)
        put(folder, f"{path}.hea", text)
        put(folder, f"{path}.mat", mat4(samples))
        yield Row(path, path, visit)
