"""What tests share: where the real recordings lie, a small text encoder, a local Ray, and shards made once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real() -> Path:
    """Real recordings, which are not part of the project: in a folder beside it, or where ECGFM_RECORDINGS says."""
    folder = Path(os.environ.get("ECGFM_RECORDINGS", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "ptb-xl" / "ptbxl_database.csv").exists():
        pytest.skip(f"needs the real recordings: no {folder / 'ptb-xl'}; set ECGFM_RECORDINGS to where they are")
    return folder


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a T5 of 128 channels and its tokenizer (tests/batches.py)."""
    from batches import make_text

    return make_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    import ray

    tests = {"env_vars": {"PYTHONPATH": str(REPOSITORY / "tests")}}  # so that workers find tests/made.py
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False, runtime_env=tests)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def made_shards(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of tests/made.py: 290 records of 6 to 12 s at 100 Hz, in about eight shards."""
    from made import make

    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return folder
