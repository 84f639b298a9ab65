"""Sweeps on Ray Tune, of real trials: what they write, that they go on, and that a trial that fails ends alone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import REPOSITORY

from ecgfm.data.storage import Folder
from ecgfm.train.checkpoint import steps
from ecgfm.train.journal import rows

pytestmark = [pytest.mark.ray, pytest.mark.slow]

HEADS, GOOD, KILLED, BAD = (
    "optimizer.rates.heads",
    "heads=0.001,seed=0@1",
    "heads=0.002,seed=0@1",
    "heads=1e+38,seed=0@1",
)


@pytest.fixture(scope="module")
def words(made_shards: Path) -> list[str]:
    return [
        *("fingerprint_tiny", "--shards", str(made_shards), "--steps", "18", "--resources.device", "cpu"),
        *("--cadence.log", "3", "--cadence.save", "3", "--cadence.evaluate", "6", "--optimizer.clip", "None"),
    ]


@pytest.fixture(scope="module")
def swept(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of three trials: one is killed at its first checkpoint, and one learns at a rate that no float holds."""
    folder = tmp_path_factory.mktemp("sweep")
    killer = threading.Thread(target=kill, args=[folder / KILLED])
    killer.start()
    given = [*words, "--to", str(folder), "--over", f"{HEADS}=1e-3,2e-3,1e38", "--show", "geometry/fingerprint/cka"]
    assert sweep(*given, "--resources.trainer-cpus", "0.6") == 3
    killer.join()
    return folder


def kill(trial: Path) -> None:
    end = time.monotonic() + 240
    while not steps(Folder(str(trial))) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(int((trial / "lock").read_text().split()[1]), signal.SIGKILL)


def sweep(*given: str) -> int:
    """As from a terminal, but in this process."""
    from jobs.sweep import main

    return main([*given])


def trials(folder: Path) -> dict[str, dict]:
    return {trial["name"]: trial for trial in json.loads((folder / "sweep.json").read_text())["trials"]}


def launches(folder: Path) -> dict[str, list[int]]:
    """The steps at which each trial was started."""
    return {
        found.parent.name: [launch["step"] for launch in json.loads(found.read_text())["launches"]]
        for found in folder.glob("*/run.json")
    }


def test_trials_that_fail_end_alone_and_say_why(swept: Path) -> None:
    found = trials(swept)
    assert {name: trial["state"] for name, trial in found.items()} == {
        GOOD: "finished",
        KILLED: "failed",
        BAD: "failed",
    }
    assert found[KILLED]["reason"] == "its process broke or was lost, and the log says more"
    assert "not finite" in found[BAD]["reason"]
    assert found[BAD]["reason"] in (swept / "sweep.md").read_text()
    assert (swept / "sweep.png").read_bytes().startswith(b"\x89PNG")
    last = [row for row in rows(Folder(str(swept / GOOD))) if "held-out/loss" in row][-1]
    assert last["step"] == found[GOOD]["step"] == 18
    assert found[GOOD]["figures"].items() <= last.items()
    assert (swept / GOOD / "towers.safetensors").exists()


def test_run_again_it_goes_on_and_repeats_nothing(swept: Path, words: list[str]) -> None:
    again = [*words, "--to", str(swept), "--over", f"{HEADS}=1e-3,2e-3"]
    assert sweep(*again) == 0
    assert {trial["state"] for trial in trials(swept).values()} == {"finished"}
    before = launches(swept)
    assert before[GOOD] == [0]
    assert len(before[KILLED]) == 2
    assert before[KILLED][1] >= 3
    assert [row["step"] for row in rows(Folder(str(swept / KILLED))) if "loss" in row] == [3, 6, 9, 12, 15, 18]
    assert sweep(*again) == 0
    assert launches(swept) == before
    assert sweep(*again, "--batch", "16") == 1  # the folder holds another recipe


def test_killed_as_a_whole_it_goes_on_with_the_same_command(words: list[str], tmp_path: Path) -> None:
    """At once: what was left behind of its trials may still hold their folders for a moment."""
    given = [*words, "--to", str(tmp_path), "--over", f"{HEADS}=1e-3", "--cadence.log", "1", "--steps", "60"]
    command = [sys.executable, str(REPOSITORY / "jobs" / "sweep.py"), *given]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    trial, end = tmp_path / GOOD, time.monotonic() + 240
    while not steps(Folder(str(trial))) and time.monotonic() < end:
        time.sleep(0.02)
    first.kill()
    first.wait()
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout
    assert trials(tmp_path)[GOOD]["state"] == "finished"
    began = launches(tmp_path)[GOOD]
    assert len(began) == 2
    assert 3 <= began[1] < 60
    assert [row["step"] for row in rows(Folder(str(trial))) if "loss" in row] == [*range(1, 61)]


def test_asha_gives_up_what_does_worse_and_it_stays_given_up(swept: Path, words: list[str]) -> None:
    # one at a time: the good one, which is finished, is heard of first
    given = [*words, "--to", str(swept), "--over", f"{HEADS}=1e-3,0.5", "--resources.trainer-cpus", "2"]
    assert sweep(*given, "--search", "asha") == 0
    weak = trials(swept)["heads=0.5,seed=0@1"]
    assert (weak["state"], weak["reason"]) == ("stopped", "others did better at step 6")
    assert weak["step"] == 6
    before = launches(swept)
    assert sweep(*given, "--search", "asha") == 0
    assert launches(swept) == before
    assert trials(swept)["heads=0.5,seed=0@1"]["state"] == "stopped"


def test_words_that_cannot_be_done_are_answered_before_anything_begins(words: list[str], tmp_path: Path) -> None:
    to = ["--to", str(tmp_path / "sweep")]
    assert sweep(*words, *to, "--over", "optimizer.rates.hads=1") == 2
    assert sweep(*words, *to) == 2
    assert sweep("fingerprint_tny", *to) == 2
    assert sweep(*words, *to, "--over", f"{HEADS}=1", "--resources.workers", "2") == 1
    assert sweep(*words, *to, "--over", "objectives.fingerprint.terms.tcr=0,1", "--search", "asha") == 2
    command = [sys.executable, str(REPOSITORY / "jobs" / "sweep.py"), *words, *to, "--over", "optimizer.dcay=1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "did you mean 'decay'?" in done.stdout
    assert not [*tmp_path.glob("sweep/*/run.json")]
