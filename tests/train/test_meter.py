import io
import time
from dataclasses import replace
from pathlib import Path

import pytest
import ranks
import torch
import torch.distributed as dist
from rich.console import Console
from toy import RUN, engine, stream, world_batch

from ecgfm.batch import Batch
from ecgfm.data.plan import Position
from ecgfm.data.storage import Folder
from ecgfm.run import Cadence
from ecgfm.train import meter as module
from ecgfm.train.checkpoint import Checkpoints
from ecgfm.train.journal import Journal, rows
from ecgfm.train.meter import Line, Meter, due, peak

ROW = {
    "step": 1200,
    "loss": 3.25,
    "gradient": 1.0,
    "dbeta/mlm": 1.5,
    "time/records_per_second": 2314.2,
    "time/waited": 0.031,
    "time/negatives": 0.004,
    "time/mfu": 0.384,
    "time/left": 7500.0,
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path))


def test_due() -> None:
    assert [step for step in range(1, 8) if due(step, 3, 7)] == [3, 6, 7]


class Clock:
    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def perf_counter(self) -> float:
        return self.now

    time = monotonic = perf_counter


def test_a_row_says_how_fast_it_went(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)

    class Slow:
        waited = 0.0
        stream = stream(Position())

        def __iter__(self) -> "Slow":
            return self

        def __next__(self) -> tuple[Batch, Position]:
            clock.sleep(0.01)
            self.waited += 0.002
            return next(self.stream)

    meter, batches = Meter(replace(RUN, cadence=Cadence(log=2), steps=5), torch.device("cpu")), Slow()
    meter.files = [Journal(folder, 0)]
    for step in range(1, 6):
        meter.next(batches)
        clock.sleep(0.03)
        meter.step(step, {"loss": 1.0})
    kept = rows(folder)
    assert [row["step"] for row in kept] == [2, 4, 5]
    assert kept[0]["time/records_per_second"] == pytest.approx(RUN.batch / 0.04)
    assert kept[0]["time/step"] == pytest.approx(0.04)
    assert kept[0]["time/waited"] == pytest.approx(0.25)
    assert kept[0]["time/negatives"] == pytest.approx(0.05)
    assert kept[0]["time/left"] == pytest.approx(3 * 0.04)
    assert kept[2]["time/left"] == 0
    assert "time/mfu" not in kept[0]  # the peak of a CPU is not known


def test_the_slowest_process_is_what_counts() -> None:
    for made in ranks.run(2, _slow_and_slower):
        assert 0.02 <= made["time/worker/0"] < made["time/worker/1"]
        assert made["time/worker/1"] >= 1.0
        assert made["time/step"] == pytest.approx(made["time/worker/1"])  # nobody waited for a batch
        assert made["time/records_per_second"] == pytest.approx(RUN.batch / made["time/step"])


class _Kept(list):
    flush = None


def _slow_and_slower() -> dict[str, float]:
    kept: list = _Kept()
    meter = Meter(replace(RUN, cadence=Cadence(log=1)), torch.device("cpu"))
    meter.files = [kept]  # type: ignore[list-item]
    time.sleep(1.0 if dist.get_rank() else 0.02)
    meter.step(1, {"loss": 1.0})
    return kept[0]


def test_operations_are_counted_once(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "peak", lambda _: 1e9)
    meter, made = Meter(replace(RUN, cadence=Cadence(log=1)), torch.device("cpu")), engine()
    meter.files = [Journal(folder, 0)]
    for step in (1, 2):
        with meter.counting():
            loss, terms = made(world_batch(step), step)
            figures = made.step(loss, terms, 1.0)
        meter.step(step, figures)
    kept = rows(folder)
    products = (
        2 * RUN.batch * 16 * 40
    )  # of the tower's matrix, and of that of "copy"; those of "mean" are 40 times less
    forward_and_backward = 2 * products + 3 * products + 3 * products // 40
    seconds = RUN.batch / kept[1]["time/records_per_second"]
    assert kept[1]["time/mfu"] * 1e9 * seconds == pytest.approx(forward_and_backward)


def test_peaks_are_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peak(torch.device("cpu")) is None
    for name, value in {"NVIDIA H100 PCIe": 756e12, "NVIDIA H100 80GB HBM3": 989e12, "Tesla T4": None}.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _, name=name: name)
        assert peak(torch.device("cuda")) == value


def line(folder: Folder, is_terminal: bool = False) -> tuple[Line, io.StringIO]:
    written, checkpoints = io.StringIO(), Checkpoints(folder, RUN.cadence)
    checkpoints.saved = time.time() - 300
    return Line(30_000, checkpoints, Console(file=written, width=200, force_terminal=is_terminal)), written


def test_the_line_says_it_all(folder: Folder) -> None:
    of, _ = line(folder)
    of.append(ROW)
    assert of.text().plain == (
        "step 1,200/30,000  loss 3.2500  mlm 1.5000  2,314 records/s  waited 3% (false reports 0%)  MFU 38%  "
        "2 h 05 min left  saved 5 min ago"
    )


def test_without_a_terminal_lines_are_few(folder: Folder) -> None:
    of, written = line(folder)
    for step in (1, 2, 3, 30_000):
        of.append(ROW | {"step": step})
    of.append({"step": 30_000, "held-out/loss": 1.0})
    of.stop()
    assert [text.split()[1] for text in written.getvalue().splitlines()] == ["1/30,000", "30,000/30,000"]
    assert "\x1b" not in written.getvalue()


def test_on_a_terminal_the_line_is_renewed_in_place(folder: Folder) -> None:
    of, written = line(folder, is_terminal=True)
    of.append(ROW)
    of.stop()
    assert "\x1b[" in written.getvalue()
    assert "1,200/30,000" in written.getvalue()
