"""Writing recordings in the field's file forms: WFDB headers with either kind of signal file, and MATLAB 4 matrices."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int16


def checksum(samples: Int16[np.ndarray, "time"], *, signed: bool = False) -> int:
    """Of one channel, modulo 65536; publishers differ in how they write it."""
    total = int(samples.sum(dtype=np.int64)) & 0xFFFF
    return total - 0x10000 if signed and total > 0x7FFF else total


def header(
    record_line: str,
    storage: str,
    gain: str,
    names: Sequence[str],
    samples: Int16[np.ndarray, "lead time"],
    comments: Sequence[str] = (),
    *,
    signed: bool = False,
) -> str:
    """A WFDB header; `storage` is a signal file's name and format, `gain` as the publisher writes it."""
    lines = [record_line]
    for name, lead in zip(names, samples, strict=True):
        lines.append(f"{storage} {gain} 16 0 {lead[0]} {checksum(lead, signed=signed)} 0 {name}")
    return "\n".join([*lines, *comments]) + "\n"


def interleaved(samples: Int16[np.ndarray, "lead time"]) -> bytes:
    """Format 16: all leads of one moment, then the next moment."""
    return np.ascontiguousarray(samples.T).astype("<i2").tobytes()


def mat4(samples: Int16[np.ndarray, "lead time"]) -> bytes:
    """A MATLAB 4 file of one matrix `val`: 24 bytes, then format 16."""
    rows, columns = samples.shape
    return struct.pack("<5i4s", 30, rows, columns, 0, 4, b"val\0") + interleaved(samples)


def put(folder: Path, name: str, content: bytes | str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
