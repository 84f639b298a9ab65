"""The command, on real shards, with real towers: what it says to wrong words, and that it goes on where it stopped."""

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from safetensors.torch import save_file

from ecgfm.data.storage import Folder
from ecgfm.train.checkpoint import newest
from ecgfm.train.journal import Journal, rows

pytestmark = pytest.mark.ray

COMMAND = REPOSITORY / "jobs" / "pretrain.py"
METHOD = """
from dataclasses import dataclass, field
from typing import ClassVar
from torch import nn
from ecgfm.model.pool import Project
from ecgfm.model.views import EcgView

@dataclass(frozen=True)
class Config:
    terms: dict = field(default_factory=lambda: {"size": 0.5})
    columns: ClassVar = ()
    pools: ClassVar = {"summary": Project("first")}

    def build(self, towers):
        return Objective()

class Objective(nn.Module):
    def forward(self, seen):
        return {"size": seen.embed(EcgView(tokens=0.5)).square().mean()}
"""
RECIPE = """
from dataclasses import replace
from ecgfm.model.text import TableConfig
from ecgfm.objectives import dbeta
from ecgfm.recipes import find
from ecgfm.run import Farthest, Run

def table() -> Run:
    tiny, terms = find(["dbeta_tiny"]), dict.fromkeys(("mem", "etm", "ets"), 1.0)
    towers = replace(tiny.towers, text=TableConfig("table.safetensors"))
    return replace(tiny, towers=towers, objectives={"dbeta": dbeta.Config(terms)}, negatives=Farthest(8, "words"))

def nothing() -> None:
    return None
"""


@pytest.fixture
def words(made_shards: Path, text_model: str) -> list[str]:
    return [
        *("--shards", str(made_shards), "--towers.text.name", text_model, "--resources.device", "cpu"),
        *("--resources.launcher", "here", "--resources.engine", "torch"),
        *("--cadence.log", "1", "--cadence.save", "4", "--cadence.evaluate", "4"),
    ]


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the command says is wrong."""
    said: list[str] = []
    monkeypatch.setattr(logging.getLogger("ecgfm"), "error", lambda text, *values: said.append(text % values))
    return said


def pretrain(*given: str) -> int:
    """As from a terminal, but in this process."""
    from jobs.pretrain import main

    return main([*given])


def curve(folder: Path) -> list[dict[str, int | float | None]]:
    found = rows(Folder(str(folder)))
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in found]


def test_straight_and_stopped(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert pretrain("dbeta_tiny", "--steps", "12", "--to", str(straight), *words) == 0
    terms = {f"dbeta/{term}" for term in ("mlm", "mem", "etm", "ets")}
    assert terms | {"step", "loss", "gradient", "rate"} == curve(straight)[0].keys()
    assert {f"held-out/{name}" for name in ("loss", *terms)} <= curve(straight)[4].keys()
    stop_after(monkeypatch, 6)
    assert pretrain("dbeta_tiny", "--steps", "12", "--to", str(stopped), *words) == 130
    monkeypatch.undo()
    assert pretrain("dbeta_tiny", "--steps", "12", "--to", str(stopped), *words) == 0
    assert curve(stopped) == curve(straight)
    launches = json.loads((stopped / "run.json").read_text())["launches"]
    assert [launch["step"] for launch in launches] == [0, 4]
    inputs = json.loads((stopped / "run.json").read_text())["inputs"]
    assert inputs.keys() == {"shards of made", "words", "false reports", "text model"}


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    from ecgfm.train.meter import Meter

    step: Callable = Meter.step

    def interrupted(meter: Meter, number: int, figures: dict) -> None:
        step(meter, number, figures)
        if number == steps:
            raise KeyboardInterrupt

    monkeypatch.setattr(Meter, "step", interrupted)


def test_a_run_goes_on_at_another_stage(words: list[str], tmp_path: Path) -> None:
    """What it reads is hashed before an engine divides it."""
    words = [*words, "--to", str(tmp_path / "run"), "--resources.engine"]
    assert pretrain("dbeta_tiny", "--steps", "2", *words, "torch") == 0
    last = [str(COMMAND), "dbeta_tiny", "--steps", "2", *words, "deepspeed", "--resources.stage", "3"]
    done = subprocess.run([sys.executable, *last], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "is finished: there is nothing to do" in done.stderr + done.stdout


def test_two_processes_make_the_curve_of_one(words: list[str], tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    words = ["dbeta_paper_tiny", "--steps", "8", "--negatives.count", "8", *words]
    assert pretrain(*words, "--to", str(one)) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, str(COMMAND), *words, "--to", str(two)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for ours, theirs in zip(curve(two), curve(one), strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3)


def test_a_branch(words: list[str], tmp_path: Path) -> None:
    first, branch, towers = tmp_path / "first@1", tmp_path / "branch@1", tmp_path / "towers@1"
    assert pretrain("dbeta_tiny", "--steps", "4", "--to", str(first), *words) == 0
    assert pretrain("dbeta_tiny", "--steps", "6", "--to", str(branch), "--from", f"{first}@4", *words) == 0
    assert curve(branch)[0]["step"] == 5
    assert pretrain("dbeta_tiny", "--steps", "2", "--to", str(towers), "--towers-from", str(first), *words) == 0
    assert json.loads((towers / "run.json").read_text())["launches"][0]["from"] == f"towers of {first}"
    assert curve(towers)[0]["step"] == 1


def test_a_method_of_ones_own(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "mine.py").write_text(METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    small = ("--batch", "8", "--steps", "4", "--towers.heads", "2", "--frame.rate", "100", "--frame.seconds", "4.0")
    assert pretrain("ours.mine", "--to", str(tmp_path / "run"), *small, *words) == 0
    assert "mine/size" in curve(tmp_path / "run")[0]
    found = newest(Folder(str(tmp_path / "run")))
    assert found is not None
    assert not any("text" in name for name in found[1]["model"])  # nothing asks for reports


def test_a_recipe_of_ones_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    errors: list[str],
) -> None:
    """With a table of embeddings in the place of a text model, and another choice of false reports."""
    (tmp_path / "whose").mkdir()
    (tmp_path / "whose" / "recipes.py").write_text(RECIPE)
    monkeypatch.syspath_prepend(tmp_path)
    table = tmp_path / "made.safetensors"
    save_file({"vectors": torch.randn(50, 16)}, table)
    fields = ("--towers.text.path", str(table), "--negatives.count", "4")
    place = ("--shards", "nowhere", "--to", str(tmp_path / "run"))
    assert pretrain("whose.recipes.table", *place, *fields, "--dry-run") == 0
    assert "loss = 1*dbeta/mem + 1*dbeta/etm + 1*dbeta/ets" in capsys.readouterr().out
    assert pretrain("whose.recipes.nothing", *place, "--dry-run") == 2
    assert "whose.recipes.nothing returns a NoneType" in errors[-1]


def test_what_evaluation_lacks_is_said_before_the_first_step(
    words: list[str], made_shards: Path, tmp_path: Path, errors: list[str]
) -> None:
    run = ("fingerprint_tiny", "--to", str(tmp_path / "run"), *words)
    assert pretrain(*run, "--cadence.best", "held-out/los") == 1
    assert "no watcher finds 'held-out/los'; did you mean held-out/loss?" in errors[-1]
    manifest = (made_shards / "manifest.json").read_text()
    shutil.copytree(made_shards, tmp_path / "shards")
    (tmp_path / "shards" / "manifest.json").write_text(manifest.replace('"split": "valid"', '"split": "test"'))
    assert pretrain(*run, "--shards", str(tmp_path / "shards")) == 1
    assert "the shards of made hold no valid records: leave the corpus out" in errors[-1]
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_full_disk_is_said_once(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: list[str]
) -> None:
    def full(journal: Journal, row: dict) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = ("fingerprint_tiny", "--steps", "4", "--to", str(tmp_path / "run"), *words)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        assert pretrain(*run) == 1
    assert f"{tmp_path / 'run'} cannot be written to: No space left on device" in errors[-1]
    assert pretrain(*run) == 0


def test_a_dry_run_trains_nothing(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = ("dbeta_tiny", "--steps", "45", "--to", str(tmp_path / "run"), *words, "--dry-run")
    assert pretrain(*run, "--speed", "1") == 0
    said = capsys.readouterr().out
    assert "loss = 1*dbeta/mlm" in said
    assert "0.1 hours at 1 records/s (as given)" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", [("--resources.launcher", "ray"), (), ("--dry-run",)])
def test_workers_that_cannot_share_a_batch_are_refused_before_anything_is_written(
    how: tuple[str, ...], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    monkeypatch.setattr(logging.getLogger("ecgfm"), "error", lambda form, *given: said.append(form % given))
    asked = ("dbeta_tiny", "--to", str(tmp_path / "run"), *words, "--resources.workers", "3", *how)
    assert pretrain(*asked) == 1
    assert said[0].startswith("3 workers cannot share a batch of 8 slices evenly: use 1, 2, 4, 8 workers")
    assert not (tmp_path / "run").exists()


def test_wrong_words_are_answered_with_the_nearest(words: list[str], tmp_path: Path) -> None:
    def said(*given: str) -> str:
        done = subprocess.run([sys.executable, str(COMMAND), *given], capture_output=True, text=True)
        assert done.returncode != 0
        return " ".join((done.stdout + done.stderr).replace("│", " ").split())

    assert "no recipe and no method 'dbeta_tny': did you mean dbeta_tiny?" in said("dbeta_tny")
    wrong = said("dbeta_tiny", "--to", str(tmp_path), *words, "--optimizer.clp", "3")
    assert "--optimizer.clp" in wrong
    assert "Perhaps you meant: --optimizer.clip" in wrong
    assert "2 workers are asked for, and 1 are there" in said(
        "dbeta_tiny", "--to", str(tmp_path), *words, "--resources.workers", "2"
    )
