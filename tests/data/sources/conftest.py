"""Small files in the layouts of publishers, for the corpora whose recordings are not at hand."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ecgfm.data.record import LEADS


@pytest.fixture
def samples() -> np.ndarray:
    """Twelve leads of ten seconds at 500 Hz that obey the limb-lead identities."""
    random = np.random.default_rng(5)
    walk = np.cumsum(random.integers(-9, 10, (12, 5000)), axis=1)
    one, two = 2 * walk[0], 2 * walk[1]
    return np.stack([one, two, two - one, -(one + two) // 2, one - two // 2, two - one // 2, *walk[6:]]).astype(
        np.int16
    )


@pytest.fixture
def write_record() -> Callable[..., None]:
    """A WFDB record in format 16, its header with checksums and whatever quirks are asked for."""

    def write(
        stem: Path,
        samples: np.ndarray,
        leads: Sequence[str] = LEADS,
        gain: str = "1000.0(0)/mV",
        comments: Sequence[str] = (),
        suffix: str = ".dat",
        offset: int = 0,
        when: str = "",
    ) -> None:
        stem.parent.mkdir(parents=True, exist_ok=True)
        storage = f"16+{offset}" if offset else "16"
        lines = [f"{stem.name} {len(samples)} 500 {samples.shape[1]} {when}".strip()]
        for lead, row in zip(leads, samples, strict=True):
            checksum = int(np.sum(row, dtype=np.int64)) & 0xFFFF
            checksum -= 0x10000 if checksum > 0x7FFF else 0
            lines.append(f"{stem.name}{suffix} {storage} {gain} 16 0 {row[0]} {checksum} 0 {lead}")
        stem.with_suffix(".hea").write_text("\n".join([*lines, *comments]) + "\n")
        stem.with_suffix(suffix).write_bytes(bytes(offset) + samples.T.astype("<i2").tobytes())

    return write
