"""What tests of corpora share: leads that hold together, and files on a disk in the form of a corpus."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb_files


@pytest.fixture
def samples() -> np.ndarray:
    """Twelve leads of ten seconds at 500 Hz that obey the limb-lead identities."""
    random = np.random.default_rng(5)
    walk = np.cumsum(random.integers(-9, 10, (12, 5000)), axis=1)
    one, two = 2 * walk[0], 2 * walk[1]
    limbs = [one, two, two - one, -(one + two) // 2, one - two // 2, two - one // 2]
    return np.stack([*limbs, *walk[6:]]).astype(np.int16)


@pytest.fixture
def write_record() -> Callable[..., None]:
    """Header and signal file of a record at 500 Hz below a stem; the rest as in wfdb_files.record."""

    def write(stem: Path, samples: np.ndarray, when: str = "", **form: object) -> None:
        stem.parent.mkdir(parents=True, exist_ok=True)
        line = "{name} {count} 500 {length} " + when
        for name, content in wfdb_files.record(samples, name=stem.name, line=line, **form).items():
            (stem.parent / name).write_bytes(content)

    return write
