"""How training goes: how fast, how long still, and what of it is written down."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from rich.console import Console
from rich.live import Live
from rich.text import Text
from torch.utils.flop_counter import FlopCounterMode

from ecgfm.batch import Batch
from ecgfm.data.plan import Position
from ecgfm.losses.gather import world
from ecgfm.run import Run
from ecgfm.train.checkpoint import Checkpoints
from ecgfm.train.journal import Board, Journal, Row, Tracker

_PLAIN = 10.0  # seconds between lines where no terminal shows them
_PEAKS = {  # dense bf16, FLOP/s, by a part of the device's name; the first that fits
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
}


def peak(device: torch.device) -> float | None:
    """What a device can do at best, in FLOP/s; None where that is not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((value for part, value in _PEAKS.items() if part in name), None)


class Meter:
    """Times the steps of a run, and gives what is due to those who write it down (in the first process only)."""

    def __init__(self, run: Run, device: torch.device) -> None:
        self.run, self.device, self.peak = run, device, peak(device)
        self.files: list[Journal | Board | Tracker] = []
        self.line: Line | None = None
        self._counter: FlopCounterMode | None = None
        self._restart()

    def next(self, stream: Iterator[tuple[Batch, Position]]) -> tuple[Batch, Position]:
        """The next batch. A stream that waits for false reports says in `waited` for how long it did, all in all."""
        start, before = time.perf_counter(), getattr(stream, "waited", 0.0)
        try:
            return next(stream)
        finally:
            self._waited += time.perf_counter() - start
            self._negatives += getattr(stream, "waited", 0.0) - before

    def counting(self) -> AbstractContextManager:
        """Counts the operations of the first step, where the device's peak is known to compare them with."""
        if self.peak is None or self._counter:
            return nullcontext()
        self._counter = FlopCounterMode(display=False)
        return self._counter

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """One step is made; its figures are written when they are due."""
        self._made += 1
        if due(step, self.run.cadence.log, self.run.steps):
            self._write({"step": step, **figures, **self._times(step)})
            self._restart()

    def watched(self, step: int, figures: Mapping[str, float]) -> None:
        """What watchers found. The time they took is not the steps'."""
        self._write({"step": step, **figures})
        self._restart()

    def flush(self) -> None:
        for file in self.files:
            file.flush()

    def _write(self, row: Row) -> None:
        for file in self.files:
            file.append(row)
        if self.line:
            self.line.append(row)

    def _times(self, step: int) -> dict[str, float]:
        """Of the slowest process: seconds of a step, and the share of them that it waited for its batches, and in that
        for false reports. Of each process: seconds of a step without those waits; in them it may wait for others, as
        every step ends for all at once."""
        elapsed = time.perf_counter() - self._start
        each = everyone(
            [
                elapsed / self._made,
                self._waited / elapsed,
                self._negatives / elapsed,
                (elapsed - self._waited) / self._made,
            ],
            self.device,
        )
        pace, waited, negatives, _ = map(max, zip(*each, strict=True))
        times = {
            "time/clock": time.time(),
            "time/records_per_second": self.run.batch / pace,
            "time/step": pace,
            "time/waited": waited,
            "time/negatives": negatives,
            "time/left": (self.run.steps - step) * pace,
        }
        if len(each) > 1:
            times |= {f"time/worker/{rank}": busy for rank, (*_, busy) in enumerate(each)}
        if self.peak and self._counter:
            times["time/mfu"] = self._counter.get_total_flops() / pace / self.peak
        return times

    def _restart(self) -> None:
        self._start, self._waited, self._negatives, self._made = time.perf_counter(), 0.0, 0.0, 0


def everyone(values: list[float], device: torch.device) -> list[list[float]]:
    """Those of each process, which all ask together."""
    if world() == 1:
        return [values]
    own = torch.tensor(values, dtype=torch.float64, device=device)
    found = [torch.empty_like(own) for _ in range(world())]
    dist.all_gather(found, own)
    return [one.tolist() for one in found]


def due(step: int, every: int, steps: int) -> bool:
    return step % every == 0 or step == steps


class Line:
    """How it goes, in one line: renewed in place on a terminal, printed now and then where there is none."""

    def __init__(self, steps: int, checkpoints: Checkpoints, console: Console) -> None:
        self.steps, self.checkpoints, self.console = steps, checkpoints, console
        self.row: Row = {}
        self._printed = -math.inf
        self._live = Live(get_renderable=self.text, console=console, transient=True) if console.is_terminal else None
        if self._live:
            self._live.start()

    def append(self, row: Row) -> None:
        if "loss" not in row:
            return
        self.row = row
        now = time.monotonic()
        if not self._live and (now - self._printed > _PLAIN or row["step"] == self.steps):
            self.console.print(self.text(), soft_wrap=True)
            self._printed = now

    def stop(self) -> None:
        if self._live:
            self._live.stop()

    def text(self) -> Text:
        if not self.row:
            return Text("first step ...")
        row, saved = self.row, self.checkpoints.saved
        names = [name for name in row if "/" in name and not name.startswith("time/")]
        alone = len({name.partition("/")[0] for name in names}) == 1  # one method: its name says nothing
        terms = [f"{name.partition('/')[2] if alone else name} {row[name]:.4f}" for name in names]
        parts = [f"step {row['step']:,}/{self.steps:,}", f"loss {row['loss']:.4f}", *terms]
        parts.append(f"{row['time/records_per_second']:,.0f} records/s")
        parts.append(f"waited {row['time/waited']:.0%} (false reports {row['time/negatives']:.0%})")
        workers = [value for name, value in row.items() if name.startswith("time/worker/")]
        if workers:
            parts.append(f"workers {min(workers):.2f} to {max(workers):.2f} s")
        if "time/mfu" in row:
            parts.append(f"MFU {row['time/mfu']:.0%}")
        parts.append(f"{_duration(row['time/left'])} left")
        parts.append(f"saved {_duration(time.time() - saved)} ago" if saved else "not saved yet")
        return Text("  ".join(parts))


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes // 60:.0f} h {minutes % 60:02.0f} min"
