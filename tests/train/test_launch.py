"""A run on Ray's workers: the curve that torchrun makes, bit for bit, although all that can be killed was."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
import ray
from conftest import REPOSITORY

from ecgfm.data.storage import Folder
from ecgfm.evaluate.watch import watchers
from ecgfm.recipes import find
from ecgfm.run import Resources
from ecgfm.train.checkpoint import steps
from ecgfm.train.ended import LostError
from ecgfm.train.job import Job
from ecgfm.train.journal import rows
from ecgfm.train.launch import _announce, fitted, launch, log

sys.path.append(str(REPOSITORY / "tools"))
from local_cluster import Cluster

SAVE, STEPS = 5, 40


def test_a_cluster_that_is_too_small_is_refused_with_what_is_needed() -> None:
    asked = Resources(workers=4, readers=2, negatives_cpus=1)
    with pytest.raises(ValueError, match="has 4 logical CPUs, and the run needs 5 ") as refused:
        fitted(asked, {"CPU": 4})
    assert "2 for workers, 2 for Ray Data, 1 for negatives" in str(refused.value)
    assert fitted(asked, {"CPU": 5}).workers == 4


def test_two_cores_suffice_for_two_workers() -> None:
    assert fitted(Resources(workers=2), {"CPU": 2}).device == "cpu"


def test_gpus_are_used_where_there_are_any() -> None:
    assert fitted(Resources(), {"CPU": 2, "GPU": 1}).device == "cuda"
    assert fitted(Resources(device="cpu"), {"CPU": 2, "GPU": 1}).device == "cpu"
    with pytest.raises(ValueError, match="has 1 GPUs, and the run needs one for each of its 2 workers"):
        fitted(Resources(workers=2), {"CPU": 8, "GPU": 1})
    assert fitted(Resources(negatives_gpus=0.1), {"CPU": 2, "GPU": 1}).negatives_gpus == 0.1
    with pytest.raises(ValueError, match=r"no 0.2 of one is left for the service"):
        fitted(Resources(negatives_gpus=0.2), {"CPU": 2, "GPU": 1})
    with pytest.raises(ValueError, match="has 0 GPUs"):
        fitted(Resources(device="cuda"), {"CPU": 8})


def test_it_is_said_where_a_run_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that finds no GPU goes to CPUs: no matter for a small one, and a mistake for a large one."""
    said = []
    for level in ("info", "warning"):
        monkeypatch.setattr(log, level, lambda form, *given: said.append(form % given))
    for name in ("merit_small", "merit"):
        asked = Job(find([name]), (), "to", resources=Resources(workers=2, readers=3))
        _announce(asked, fitted(asked.resources, {"CPU": 8}))
    assert said[:2] == ["2 workers on cpu, deepspeed, stage 0, fp32; 3 readers"] * 2
    assert len(said) == 3
    assert said[2].startswith("the cluster has no GPU")


@pytest.mark.ray
def test_a_cluster_that_is_taken_is_not_waited_for_without_end(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "3")
    held = ray.remote(Holds).options(num_cpus=2).remote()
    ray.get(held.__ray_ready__.remote())
    try:
        with pytest.raises(LostError, match=r"no room for 1 workers within 3 s: `ray status` shows"):
            launch(Job(find(["merit_tiny"]), (), str(tmp_path)), partial(watchers, [], ()))
    finally:
        ray.kill(held)


class Holds:
    """Some CPUs."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(cpus=2) as made:
        yield made


@pytest.fixture(scope="module")
def words(made_shards: Path, text_model: str) -> list[str]:
    return [
        *("dbeta_tiny", "--steps", str(STEPS), "--shards", str(made_shards), "--towers.text.name", text_model),
        *("--resources.device", "cpu", "--cadence.log", "1", "--cadence.save", str(SAVE), "--cadence.evaluate", "20"),
    ]


def begin(cluster: Cluster, to: Path, words: list[str], *more: str) -> subprocess.Popen:
    command = [sys.executable, str(REPOSITORY / "jobs" / "pretrain.py"), *words, "--to", str(to), *more]
    with Path(f"{to}.log").open("a") as said:
        return subprocess.Popen(command, env=cluster.environment, stdout=said, stderr=subprocess.STDOUT)


def torchrun(to: Path, words: list[str]) -> None:
    """The same two processes without Ray."""
    start = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = [*start, str(REPOSITORY / "jobs" / "pretrain.py"), *words, "--to", str(to)]
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)


def curve(folder: Path) -> list[dict[str, int | float | None]]:
    found = rows(Folder(str(folder)))
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in found]


def workers(cluster: Cluster) -> list[psutil.Process]:
    return cluster.processes("ray::RayTrainWorker")


def until(true: Callable[[], bool], driver: subprocess.Popen, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert driver.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.ray
@pytest.mark.slow
def test_killed_hung_and_killed_again(cluster: Cluster, tmp_path: Path, words: list[str]) -> None:
    straight, killed, alone = tmp_path / "straight", tmp_path / "killed", tmp_path / "alone"
    torchrun(straight, words)
    two = [*words, "--resources.workers", "2"]
    wasted = []

    def saved(step: int) -> Callable[[], bool]:
        return lambda: step in steps(Folder(str(killed)))

    def lost() -> None:
        made, whole = (row["step"] for row in (curve(killed)[-1], {"step": max(steps(Folder(str(killed))))}))
        wasted.append((made or 0) - (whole or 0))

    first = begin(cluster, killed, two)
    until(saved(SAVE), first)
    workers(cluster)[1].kill()
    assert first.wait() == 3
    lost()
    second = begin(cluster, killed, two, "--resources.patience", "10")
    until(saved(3 * SAVE), second)
    workers(cluster)[1].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    assert second.wait() == 3
    assert time.monotonic() - stopped < 60
    lost()
    third = begin(cluster, killed, two)
    until(saved(5 * SAVE), third)
    third.kill()
    third.wait()
    lost()
    assert begin(cluster, killed, two).wait() == 0
    assert curve(killed) == curve(straight)
    assert max(wasted) <= SAVE
    here = ("--resources.launcher", "here", "--resources.engine", "torch")
    assert begin(cluster, alone, words, *here).wait() == 0
    for ours, theirs in zip(curve(straight), curve(alone), strict=True):
        assert ours == pytest.approx(theirs, rel=5e-3)
