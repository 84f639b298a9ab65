import subprocess
import sys
from pathlib import Path

import canaries
import pyarrow.parquet as pq
import pytest

from ecgfm.data import synthetic

pytestmark = pytest.mark.ray

REPOSITORY = Path(__file__).parent.parent.parent


def job(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / "jobs" / "shard.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_a_users_own_table_and_nothing_of_it_in_the_output(tmp_path: Path) -> None:
    """Reports, subjects and paths are of canaries; one record in ten is refused."""
    corpus, to = tmp_path / "corpus", tmp_path / "shards"
    canaries.write(corpus, 20, flat=10)
    options = ("table", "--source", corpus, "--to", to, *canaries.COLUMNS, "--layout.rows", 8)
    done = job(*options)
    assert done.returncode == 1
    assert "2 of 20 records were refused (2 flat-lead)" in done.stderr
    assert canaries.WORD not in done.stdout + done.stderr
    done = job(*options, "--refused", 0.5)
    assert done.returncode == 0
    assert "18 records" in done.stdout
    assert canaries.WORD not in done.stdout + done.stderr
    done = job(*options, "--refused", 0.5, "--layout.chunk", 4)
    assert done.returncode == 1
    assert "of other options" in done.stderr


def test_wrong_names_and_folders(tmp_path: Path) -> None:
    wrong = job("ptbxl", "--source", tmp_path, "--to", tmp_path)
    assert wrong.returncode == 2
    assert "did you mean ptb-xl?" in wrong.stderr
    empty = job("ptb-xl", "--source", tmp_path, "--to", tmp_path / "to")
    assert empty.returncode == 1
    assert "ptbxl_database.csv" in empty.stderr
    assert "Traceback" not in empty.stderr


@pytest.mark.slow
def test_a_synthetic_corpus_from_files_to_shards_twice(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "corpus", records=60)
    options = ("mimic-iv-ecg", "--source", tmp_path / "corpus", "--to", tmp_path / "shards", "--refused", 0.2)
    first, second = job(*options), job(*options)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "nothing to do" in second.stdout
    rows = pq.read_table(tmp_path / "shards" / "index.parquet")
    assert len(rows) >= 50
