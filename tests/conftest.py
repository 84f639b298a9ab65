"""What tests share: where the real recordings lie."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real() -> Path:
    """Real recordings, which are not part of the project: a folder beside it, or the one that ECGFM_RECORDINGS names."""
    folder = Path(os.environ.get("ECGFM_RECORDINGS", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "ptb-xl" / "ptbxl_database.csv").exists():
        pytest.skip(f"needs the real recordings: no {folder / 'ptb-xl'}; set ECGFM_RECORDINGS to where they are")
    return folder
