import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import toy
from conftest import REPOSITORY

sys.path.append(str(REPOSITORY / "tools"))
from drill import compare, curve, drill

RUN = replace(toy.RUN, steps=150)


def start(folder: str) -> None:
    torch.set_num_threads(1)
    if os.environ["WORLD_SIZE"] != "1":
        dist.init_process_group("gloo")
    toy.start(folder, RUN)


def test_one_process(tmp_path: Path) -> None:
    tally = drill(start, tmp_path, kills=4)
    assert tally.kills == 4
    assert len(curve(tmp_path / "straight")) == 150 + 15


def test_two_processes(tmp_path: Path) -> None:
    assert drill(start, tmp_path, kills=2, workers=2).kills == 2


def test_a_difference_is_told() -> None:
    rows = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]
    compare(rows, list(rows))
    with pytest.raises(AssertionError, match=r"step 2: .*0\.25.* straight, and .*0\.250001.* after kills"):
        compare(rows, [rows[0], {"step": 2, "loss": 0.250001}])
    with pytest.raises(AssertionError, match="2 rows straight, and 1 after kills"):
        compare(rows, rows[:1])


def test_a_run_that_does_not_repeat_itself_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="step 1: "):
        drill(careless, tmp_path, kills=1)


def careless(folder: str) -> None:
    """The weights begin otherwise every time."""
    toy.start(folder, RUN, toy.engine(run=replace(RUN, seed=int.from_bytes(os.urandom(3), "little"))))
