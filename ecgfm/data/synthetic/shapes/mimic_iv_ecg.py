"""MIMIC-IV-ECG's tree: WFDB files by subject and study, the list of records, the carts' measurements and reports."""

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from ecgfm.data.synthetic.factors import Row
from ecgfm.data.synthetic.files import checksum, header, interleaved, put
from ecgfm.data.synthetic.people import visits
from ecgfm.data.synthetic.pulse import RATE as PULSE_RATE
from ecgfm.data.synthetic.pulse import pulse
from ecgfm.data.synthetic.recording import Recording, lose, record
from ecgfm.data.synthetic.report import report

ON_DISK = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")  # aVF before aVL
GAIN, RATE, SECONDS = 200, 500, 10
CARTS = 60
DIALECTS = (0, 0, 0, 1, 1, 2)  # of the carts: one make is half of them
NO_TIME, NO_AXIS = 29999, 32767  # what a cart writes where it could not measure
UNREPORTED = 0.01  # share of recordings that the carts' table lacks
NOISY = 0.02  # mV of muscle noise from which a cart may complain
COLUMNS = (
    "subject_id",
    "study_id",
    "cart_id",
    "ecg_time",
    *(f"report_{i}" for i in range(18)),
    "bandwidth",
    "filtering",
)
MEASURED = ("rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end", "p_axis", "qrs_axis", "t_axis")


def write(folder: Path, seed: int, records: int, *, with_pulse: bool = False) -> Iterator[Row]:
    """The tree in `folder`; yields each recording once it lies there."""
    listed, measured, sums = [], [], []
    for count, visit in enumerate(visits(seed, records)):
        drawn = record(visit, RATE, SECONDS)
        subject = 10_000_000 + (32 + 1_618_033 * visit.subject.index) % 10_000_000
        study = 40_000_000 + (689_238 + 3_819_661 * count) % 10_000_000
        path = f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"
        samples, lost = lose(drawn.digital(GAIN)[[0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]], visit.rng("leads"))
        for suffix, content in _files(drawn, samples, study, subject, with_pulse).items():
            put(folder, path + suffix, content)
            sums.append((path + suffix, hashlib.sha256(content).hexdigest()))
        listed.append((subject, study, study, visit.time, path))
        rng = visit.rng("cart")
        if rng.random() >= UNREPORTED:
            measured.append((subject, study, *_cart(drawn, rng)))
        yield Row(path, str(subject), visit, lost)
    _tables(folder, sorted(listed), sorted(measured, key=lambda row: row[1]), sums)


def _files(
    drawn: Recording, samples: Int16[np.ndarray, "12 time"], study: int, subject: int, with_pulse: bool
) -> dict[str, bytes]:
    """The header and the signal files by what their names end in."""
    start, comment = f"{drawn.visit.time:%H:%M:%S %d/%m/%Y}", f"# <subject_id>: {subject}"
    gain = f"{GAIN}.0(0)/mV"
    if not with_pulse:
        line = f"{study} 12 {RATE} {samples.shape[1]} {start}"
        text = header(line, f"{study}.dat 16", gain, ON_DISK, samples, [comment])
        return {".hea": text.encode(), ".dat": interleaved(samples)}
    # Two rates in one record: a frame is a sample of the slower channel, and as many of the faster as fall into it.
    wave = np.rint(pulse(drawn.beats, SECONDS, drawn.visit.age, drawn.visit.rng("pulse")) * 4000).astype(np.int16)
    per_frame = int(RATE / PULSE_RATE)
    line = f"{study} 13 {PULSE_RATE:g} {len(wave)} {start}"
    last = f"{study}_ppg.dat 16 4000.0(0)/NU 16 0 {wave[0]} {checksum(wave)} 0 PPG"
    text = header(line, f"{study}.dat 16x{per_frame}", gain, ON_DISK, samples, [last, comment])
    frames = samples.reshape(12, -1, per_frame).transpose(1, 0, 2)
    return {".hea": text.encode(), ".dat": frames.astype("<i2").tobytes(), "_ppg.dat": wave.astype("<i2").tobytes()}


def _cart(drawn: Recording, rng: np.random.Generator) -> tuple:
    """A cart's row after its ids: what it says and what it measured, in the columns' order."""
    cart = int(rng.integers(CARTS))
    lines = report(drawn.visit, DIALECTS[cart % 6], poor_signal=drawn.noise.muscle > NOISY)
    if rng.random() < 0.06:
        lines.insert(int(rng.integers(1, len(lines) + 1)), "")
    lines = (lines + [""] * 18)[:18]
    band = str(rng.choice(["0.005-150 Hz", "0.05-150 Hz", "<not specified>"], p=[0.7, 0.2, 0.1]))
    filtering = str(rng.choice(["<not specified>", "60 Hz notch", "60 Hz notch Baseline filter"]))
    return (6_848_000 + cart * 37, drawn.visit.time, *lines, band, filtering, *_measurements(drawn, rng))


def _measurements(drawn: Recording, rng: np.random.Generator) -> list[int]:
    """Fiducial points in ms from the start of the cart's median beat, and axes; a few of them wrong or missing."""
    visit, heart = drawn.visit, drawn.heart
    has_p = len(drawn.beats.atrial) > 0
    qrs_onset = 40 + visit.pr if has_p else 180.0
    beat = heart.paced if visit.rhythm == "paced" else heart.conducted
    times = [
        60_000 / visit.rate,
        40,
        40 + heart.p_ms,
        qrs_onset,
        qrs_onset + visit.qrs,
        qrs_onset + visit.qt(visit.qrs),
    ]
    axes = [heart.p_wave.axis(), beat.qrs.axis(), beat.repolarisation.axis()]
    values = [round(t + rng.normal(0, 4)) for t in times] + [round(a + rng.normal(0, 3)) for a in axes]
    missing = rng.random(9) < 0.01
    if not has_p:
        missing[[1, 2, 6]] = True
    marks = [NO_TIME] * 6 + [NO_AXIS] * 3
    return [mark if gone else value for value, gone, mark in zip(values, missing, marks, strict=True)]


def _tables(folder: Path, listed: list[tuple], measured: list[tuple], sums: list[tuple[str, str]]) -> None:
    files = {
        "record_list.csv": (("subject_id", "study_id", "file_name", "ecg_time", "path"), listed),
        "machine_measurements.csv": ((*COLUMNS, *MEASURED), measured),
    }
    for name, (columns, rows) in files.items():
        with open(folder / name, "w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
    put(folder, "RECORDS", "".join(f"{row[-1]}\n" for row in listed))
    sums += [(name, hashlib.sha256((folder / name).read_bytes()).hexdigest()) for name in ("RECORDS", *files)]
    put(folder, "SHA256SUMS.txt", "".join(f"{digest} {name}\n" for name, digest in sorted(sums)))
