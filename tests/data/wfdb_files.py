"""WFDB files made from samples, for tests whose recordings must be just so."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ecgfm.data.record import LEADS
from ecgfm.data.storage import Folder

MIMIC_ORDER = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


def waves(channels: int = len(LEADS), time: int = 600) -> np.ndarray:
    """Samples that look like leads at 200 per mV: every channel differs, and moves by about 2 mV."""
    phase = np.arange(time) / 9 + np.arange(channels)[:, None]
    noise = np.random.default_rng(channels).integers(-9, 10, (channels, time))
    return (200 * np.sin(phase) + noise).astype(np.int16)


def lines(
    samples: Iterable[np.ndarray], names: Sequence[str], file: str, storage: str = "16", gain: str = "200.0(0)/mV"
) -> list[str]:
    """Signal lines that tell the truth about the samples."""
    told = [(row[0], int(row.sum(dtype=np.int16)), name) for row, name in zip(samples, names, strict=True)]
    return [f"{file} {storage} {gain} 16 0 {first} {total} 0 {name}" for first, total, name in told]


def record(
    samples: np.ndarray,
    names: Sequence[str] = MIMIC_ORDER,
    name: str = "r",
    line: str = "{name} {count} 100 {length} 12:04:00 22/09/2182",
    storage: str = "16",
    gain: str = "200.0(0)/mV",
    comments: Sequence[str] = (),
) -> dict[str, bytes]:
    """Header and signal file of a record in format 16, with as many bytes before the samples as `storage` says."""
    first = line.format(name=name, count=len(samples), length=samples.shape[1])
    text = "\n".join([first, *lines(samples, names, f"{name}.dat", storage, gain), *comments, ""])
    offset = int(storage.partition("+")[2] or 0)
    return {f"{name}.hea": text.encode(), f"{name}.dat": bytes(offset) + samples.T.astype("<i2").tobytes()}


def put(folder: Path, files: Mapping[str, bytes]) -> Folder:
    """The folder, with these files in it."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return Folder(str(folder))
