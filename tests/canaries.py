"""A corpus whose reports, subjects and record names all hold one word, which then must be found nowhere else."""

from pathlib import Path

import numpy as np

WORD = "zanzibar"
COLUMNS = ("--corpus.path", "file", "--corpus.subject", "patient", "--corpus.report", "text")  # of jobs/shard.py table
_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", *(f"V{i}" for i in range(1, 7)))


def write(folder: Path, records: int, flat: int = 0) -> None:
    """WFDB records of 6 s at 500 Hz and records.csv. Of every `flat`, if any, one has flat leads and is refused."""
    folder.mkdir()
    lines = ["file,patient,text"]
    wave = np.cumsum(np.random.default_rng(0).integers(-9, 10, (3000, 12)), axis=0).astype("<i2")
    for n in range(records):
        samples = np.zeros_like(wave) if flat and n % flat == 0 else wave + np.int16(n % 50)
        name = f"{WORD}{n}"
        (folder / f"{name}.dat").write_bytes(samples.tobytes())
        sums = samples.astype(int).sum(axis=0) & 0xFFFF
        channels = [
            f"{name}.dat 16 200/mV 16 0 {first} {total} 0 {lead}"
            for lead, first, total in zip(_LEADS, samples[0], sums, strict=True)
        ]
        (folder / f"{name}.hea").write_text("\n".join([f"{name} 12 500 3000", *channels]) + "\n")
        lines.append(f"{name},{WORD}-subject-{n // 2},{WORD} rhythm {n % 12}")
    (folder / "records.csv").write_text("\n".join(lines) + "\n")
