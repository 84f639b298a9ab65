import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toy import CADENCE, RUN, curve, start

from ecgfm.data.storage import Folder, StoreError
from ecgfm.recipes import find
from ecgfm.run import describe
from ecgfm.train.checkpoint import steps
from ecgfm.train.journal import METRICS, Board, Journal, Tracker, rows


@pytest.fixture(params=["disk", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    if request.param == "object store":  # the same files, without appending
        monkeypatch.setattr(Folder, "is_local", property(lambda _: False))
    return Folder(str(tmp_path))


def test_rows_come_back(folder: Folder) -> None:
    journal = Journal(folder, 0)
    journal.append({"step": 1, "loss": 0.1 + 0.2})
    journal.append({"step": 2, "loss": float("inf")})
    journal.flush()
    assert rows(folder) == [{"step": 1, "loss": 0.1 + 0.2}, {"step": 2, "loss": None}]


def test_lost_work_is_cut_off(folder: Folder) -> None:
    journal = Journal(folder, 0)
    for step in range(1, 6):
        journal.append({"step": step, "loss": 1.0})
    journal.flush()
    folder.write(METRICS, folder.read(METRICS) + b'{"step": 6, "lo')  # torn by a kill
    again = Journal(folder, 3)
    again.append({"step": 4, "loss": 2.0})
    again.flush()
    assert [(row["step"], row["loss"]) for row in rows(folder)] == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0)]
    assert all(json.loads(line) for line in folder.read(METRICS).splitlines())


def test_tensorboard_shows_the_curve_that_went_on(folder: Folder) -> None:
    board = Board(folder, 0)
    for step in range(1, 6):
        board.append({"step": step, "toy/loss": 1.0})
    board.flush()
    again = Board(folder, 3)
    again.append({"step": 4, "toy/loss": 2.0})
    again.flush()
    shown = EventAccumulator(folder.path("tensorboard"))
    shown.Reload()
    assert [(event.step, event.value) for event in shown.Scalars("toy/loss")] == [(1, 1), (2, 1), (3, 1), (4, 2)]


def test_weights_and_biases_is_told_figures_and_nothing_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    for _ in range(2):  # a run that goes on is the same one there
        tracker = Tracker(Folder(str(tmp_path / "run@1")), "ecg", describe(find(["dbeta_tiny"])))
        assert tracker.run.settings.host == ""
        tracker.append({"step": 7, "toy/loss": 0.25})
        tracker.close()
    files = [*(tmp_path / "run@1" / "wandb").glob("*run-*/run-*.wandb")]
    assert len(files) == 2
    assert len({file.name for file in files}) == 1
    for file in files:
        end = time.monotonic() + 60  # its service is a process of its own, which a busy machine keeps waiting
        while b"toy/loss" not in (told := file.read_bytes()):
            assert time.monotonic() < end
            time.sleep(0.1)
        assert b"run@1" in told
        assert str(tmp_path).encode() not in told


def test_a_tracker_that_lets_nobody_in_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(**_: object) -> None:
        raise wandb.errors.UsageError("No API key configured")

    monkeypatch.setattr(wandb, "init", refuses)
    with pytest.raises(ValueError, match=r"--cadence.wandb ecg: No API key configured; `wandb login`, WANDB_API_KEY"):
        Tracker(Folder(str(tmp_path / "run@1")), "ecg", {})


def test_a_store_that_is_away_for_a_moment_keeps_neither_training_nor_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written is written with what comes next."""
    write, away = Folder.write, {"metrics.jsonl": 9, "tensorboard": 1}  # calls

    def failing(self: Folder, name: str, content: bytes) -> None:
        if self.exists("checkpoints") and away.get(kind := name.partition("/")[0]):
            away[kind] -= 1
            raise StoreError(f"{self} cannot be reached")
        write(self, name, content)

    straight, met = tmp_path / "straight", tmp_path / "met"
    start(straight)
    monkeypatch.setattr(Folder, "is_local", property(lambda _: False))
    monkeypatch.setattr("ecgfm.train.lock.SETTLE", 0.0)
    monkeypatch.setattr("ecgfm.train.journal._REWRITE", 0.0)
    monkeypatch.setattr(Folder, "write", failing)
    start(met, replace(RUN, cadence=replace(CADENCE, keep_last=9)))
    assert not any(away.values())
    assert curve(met) == curve(straight)
    assert steps(Folder(str(met))) == [5, 10, 15, 20, 25, 30]
