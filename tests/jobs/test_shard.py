import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ecgfm.data import synthetic

pytestmark = pytest.mark.ray

REPOSITORY = Path(__file__).parent.parent.parent
CANARY = "zanzibar"


def job(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / "jobs" / "shard.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_a_users_own_table_and_nothing_of_it_in_the_output(tmp_path: Path) -> None:
    """Reports, subjects and paths are of canaries; one record in ten is refused."""
    corpus, to = tmp_path / "corpus", tmp_path / "shards"
    corpus.mkdir()
    lines = ["file,patient,text"]
    wave = np.cumsum(np.random.default_rng(0).integers(-9, 10, (3000, 12)), axis=0).astype("<i2")
    for n in range(20):
        samples = wave if n % 10 else np.zeros_like(wave)
        name = f"{CANARY}{n}"
        (corpus / f"{name}.dat").write_bytes(samples.tobytes())
        leads = ["I", "II", "III", "aVR", "aVL", "aVF", *(f"V{i}" for i in range(1, 7))]
        sums = samples.astype(int).sum(axis=0) & 0xFFFF
        channels = [
            f"{name}.dat 16 200/mV 16 0 {first} {total} 0 {lead}"
            for lead, first, total in zip(leads, samples[0], sums, strict=True)
        ]
        (corpus / f"{name}.hea").write_text("\n".join([f"{name} 12 500 3000", *channels]) + "\n")
        lines.append(f"{name},{CANARY}-subject-{n // 2},{CANARY} rhythm {n % 3}")
    (corpus / "records.csv").write_text("\n".join(lines) + "\n")
    columns = ("--corpus.path", "file", "--corpus.subject", "patient", "--corpus.report", "text")
    options = ("table", "--source", corpus, "--to", to, *columns, "--layout.rows", 8)
    done = job(*options)
    assert done.returncode == 1
    assert "2 of 20 records were refused (2 flat-lead)" in done.stderr
    assert CANARY not in done.stdout + done.stderr
    done = job(*options, "--refused", 0.5)
    assert done.returncode == 0
    assert "18 records" in done.stdout
    assert CANARY not in done.stdout + done.stderr
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
