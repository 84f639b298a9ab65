"""A user's way: jobs submitted to a cluster that is protected by a token. Reports, subjects and record names are
canaries, and at the end all that the cluster and the runs wrote is searched for them."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import canaries
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY

from ecgfm.data.storage import Folder
from ecgfm.train.claim import tree
from ecgfm.train.journal import rows

sys.path.append(str(REPOSITORY / "tools"))
from local_cluster import Cluster

pytestmark = [pytest.mark.ray, pytest.mark.slow]

RAY = str(Path(sys.executable).with_name("ray"))
RUNTIME = ("--working-dir", str(REPOSITORY), "--runtime-env", str(REPOSITORY / "jobs" / "runtime.yaml"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(cpus=2) as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("submit")


@pytest.fixture(scope="module")
def shards(cluster: Cluster, folder: Path) -> Path:
    canaries.write(folder / "corpus", 240)
    to = folder / "shards"
    done = submit(
        cluster, "shard.py", "table", "--source", folder / "corpus", "--to", to, *canaries.COLUMNS, "--layout.rows", 40
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "240 records" in done.stdout
    done = submit(cluster, "negatives.py", "--shards", to, "--encoder", "words")
    assert done.returncode == 0, done.stdout + done.stderr
    return to


@pytest.fixture(scope="module")
def words(shards: Path, text_model: str) -> list[object]:
    small = ("--resources.device", "cpu", "--cadence.log", 1, "--cadence.save", 4, "--cadence.evaluate", 4)
    return ["--shards", shards, "--towers.text.name", text_model, "--resources.workers", 2, *small]


def ray(cluster: Cluster, *given: object, **environment: str) -> subprocess.CompletedProcess:
    command = [RAY, "job", *map(str, given)]
    return subprocess.run(command, env=cluster.environment | environment, capture_output=True, text=True, timeout=200)


def submit(cluster: Cluster, job: str, *words: object, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    return ray(cluster, "submit", *RUNTIME, *options, "--", "python", f"jobs/{job}", *words)


def test_a_run_from_submission_to_export(cluster: Cluster, folder: Path, words: list[object]) -> None:
    named = ("--submission-id", "first")
    done = submit(cluster, "pretrain.py", "dbeta_tiny", "--steps", 8, "--to", folder / "run@1", *words, options=named)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in ray(cluster, "status", "first").stdout
    logs = ray(cluster, "logs", "first").stdout
    progress = [line for line in logs.splitlines() if " step 8/8 " in line]
    assert len(progress) == 1
    assert "waited " in progress[0]
    assert "\x1b" not in progress[0]
    assert (folder / "run@1" / "towers.safetensors").exists()
    (launch,) = json.loads((folder / "run@1" / "run.json").read_text())["launches"]
    assert launch["tree"] == tree(REPOSITORY / "ecgfm")  # the code that was sent, which is no checkout there
    assert launch["git"] is None
    assert [row["step"] for row in rows(Folder(str(folder / "run@1"))) if "loss" in row] == [*range(1, 9)]
    labels = folder / "corpus" / "labels.parquet"
    names = [f"{canaries.WORD}{n}" for n in range(240)]
    pq.write_table(pa.table({"path": names, "odd": [n % 2 == 1 for n in range(240)]}), labels)
    quick = ("--least", 1, "--untrained", 1, "--draws", 20, "--device", "cpu")
    done = submit(cluster, "evaluate.py", "--run", folder / "run@1", "--shards", words[1], "--tasks", labels, *quick)
    assert (folder / "run@1" / "scorecard.json").exists(), done.stdout + done.stderr


def test_stopped(cluster: Cluster, folder: Path, words: list[object]) -> None:
    run = ("dbeta_tiny", "--steps", 400, "--to", folder / "run@2", *words)
    done = submit(cluster, "pretrain.py", *run, options=("--no-wait", "--submission-id", "second"))
    assert done.returncode == 0
    end = time.monotonic() + 240
    while not (folder / "run@2" / "checkpoints" / "00000004" / "manifest.json").exists():
        assert time.monotonic() < end
        time.sleep(0.2)
    assert ray(cluster, "stop", "second").returncode == 0
    assert "stopped" in ray(cluster, "status", "second").stdout


def test_without_the_token_nothing_is_taken(cluster: Cluster) -> None:
    trivial = ("submit", "--", "python", "-c", "1")
    for token, answer in (("", "Missing authentication token"), ("wrong", "Invalid authentication token")):
        mode = {"RAY_AUTH_MODE": "token" if token else "disabled", "RAY_AUTH_TOKEN": token}
        refused = ray(cluster, *trivial, **mode)
        assert refused.returncode != 0
        assert answer in refused.stdout + refused.stderr


def test_what_cannot_be_done_fails_and_says_why(cluster: Cluster, folder: Path, words: list[object]) -> None:
    done = submit(cluster, "pretrain.py", "dbeta_tny", "--to", folder / "x", *words)
    assert done.returncode == 1
    assert "did you mean dbeta_tiny?" in done.stdout
    other = submit(cluster, "pretrain.py", "dbeta_tiny", "--seed", 5, "--to", folder / "run@1", *words)
    assert other.returncode == 1
    assert "run@1 holds a run with another recipe" in other.stdout


def test_no_canary_outside_the_data(cluster: Cluster, folder: Path) -> None:
    """After the tests above, in all that they left: what Ray wrote in its session, and the runs in their folders."""
    data = {folder / "corpus", folder / "shards"}
    written = [f for place in (cluster.folder, folder) for f in place.rglob("*") if f.is_file() and not f.is_socket()]
    outside = [file for file in written if not data & {*file.parents}]
    assert any(file.name.startswith("worker-") for file in outside)
    assert any(file.name.startswith("events.out.tfevents") for file in outside)
    found = [str(file) for file in outside if canaries.WORD.encode() in file.read_bytes()]
    assert found == []
