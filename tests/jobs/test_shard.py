import subprocess
import sys
from pathlib import Path

import canaries
import pyarrow.parquet as pq
import pytest
import wfdb_files

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


@pytest.mark.slow
def test_copies_in_several_splits_are_told_by_their_places(tmp_path: Path) -> None:
    """Ten records and ten copies of them, each of a subject of its own."""
    corpus, to = tmp_path / "corpus", tmp_path / "shards"
    corpus.mkdir()
    names = [f"okapi{number}" for number in range(20)]
    for number, name in enumerate(names):
        wfdb_files.put(corpus, wfdb_files.record(wfdb_files.waves(time=600 + number // 2), name=name))
    (corpus / "records.csv").write_text("\n".join(["path", *names]))
    done = job("table", "--source", corpus, "--to", to, "--layout.valid", 0.3, "--layout.test", 0.3)
    assert done.returncode == 0, done.stderr
    split = {}
    for shard in to.glob("*-*.parquet"):
        split |= dict.fromkeys(pq.read_table(shard)["path"].to_pylist(), shard.name.partition("-")[0])
    apart = [
        name for pair in zip(names[::2], names[1::2], strict=True) if len({split[n] for n in pair}) > 1 for name in pair
    ]
    assert 0 < len(apart) < len(names)
    told = done.stderr.partition(f"{len(apart)} records have a copy in another split, under another subject (")[2]
    place = told.partition("; ")[0].split(", row ")
    assert pq.read_table(to / place[0])["path"][int(place[1])].as_py() in apart
    assert "okapi" not in done.stdout + done.stderr


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
