"""DeepSpeed held against the torch engine: the same recipe and batches under each, on one process and on two.

    python tools/compare_engines.py --to demo/engines --record jobs/records/engines@2
    python tools/compare_engines.py --recipe dbeta_small --steps 40 --to demo/engines --record jobs/records/engines@2

A row tells how far the curve is from that of the torch engine in one process and fp32, or bf16: the relative
difference of the first step's loss, which the same weights make, and the largest of any step's, to which updates have
let it grow. In bf16 that is held against how far bf16 is from fp32 under one engine. Seconds are of CPU, per step and
process, without the first steps. Memory is what a process holds at most, beyond what it held before the model.
Every engine has one thread per process. Under Ray the curve is that of jobs/pretrain.py, and nothing else is told.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, Literal

import tiny
import torch
import torch.distributed as dist
import tyro
from local_cluster import Cluster
from record import write

from ecgfm import recipes
from ecgfm.batch import Batch
from ecgfm.data.plan import Position
from ecgfm.data.storage import Folder
from ecgfm.run import Run, override
from ecgfm.train import feed, journal
from ecgfm.train.engine import Engine, TorchEngine
from ecgfm.train.optim import factor
from ecgfm.train.pretraining import Pretraining

PRETRAIN = Path(__file__).parent.parent / "jobs" / "pretrain.py"
_WARM = 3  # steps that are not timed


@dataclass(frozen=True)
class Case:
    """One way to compute a curve."""

    precision: Literal["fp32", "bf16"]
    stage: Literal[0, 1, 2, 3] | None  # None: the torch engine
    workers: int

    def __str__(self) -> str:
        return "torch" if self.stage is None else f"DeepSpeed, stage {self.stage}"


@dataclass(frozen=True)
class Found:
    losses: list[float]
    cpu: float  # seconds per step of a process
    start: float  # seconds, to build the engine
    memory: float  # MB


def cases() -> Iterator[Case]:
    for precision in ("fp32", "bf16"):
        for stage in (None, 0, 1, 2, 3):
            yield from (Case(precision, stage, workers) for workers in (1, 2))


def batches(run: Run, shards: str, home: Path, model: Pretraining, rank: int, workers: int) -> list[Batch]:
    opened = feed.open_feed(run, [shards], Folder(str(home)), model.columns)
    return [batch for batch, _ in opened.open("train", run.steps, Position(), rank, workers)]


def build(run: Run, model: Pretraining, case: Case) -> Engine:
    if case.stage is None:
        return TorchEngine(model, model.groups(), run.optimizer, "cpu", case.precision)
    from ecgfm.train.zero import DeepSpeedEngine

    return DeepSpeedEngine(model, model.groups(), run.optimizer, "cpu", case.precision, case.stage)


def memory(name: Literal["VmRSS", "VmHWM"]) -> float:
    """What this process holds, or the most that it has held, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def visit(run: Run, shards: str, home: Path, case: Case, rank: int) -> Found:
    torch.manual_seed(run.seed)
    model = Pretraining.of(run)
    read = batches(run, shards, home, model, rank, case.workers)
    if case.stage is not None:
        import deepspeed  # noqa: F401  (what a program takes is not what its engine takes)
    Path("/proc/self/clear_refs").write_text("5")  # the most is what comes from here on
    held, began = memory("VmRSS"), time.perf_counter()
    engine = build(run, model, case)
    start, losses, spent = time.perf_counter() - began, [], time.process_time()
    for step, batch in enumerate(read):
        if step == _WARM:
            spent = time.process_time()
        loss, terms = engine(batch, run.step_seed(step))
        losses.append(engine.step(loss, terms, factor(run.schedule, step, run.steps))["loss"])
    return Found(losses, (time.process_time() - spent) / (run.steps - _WARM), start, memory("VmHWM") - held)


def process(run: Run, shards: str, home: Path, case: Case, rank: int, port: int, found: "Queue[Found]") -> None:
    os.environ.update(OMP_NUM_THREADS="1", DS_ACCELERATOR="cpu")
    torch.set_num_threads(1)
    if case.workers > 1:
        dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=case.workers)
    seen = visit(run, shards, home, case, rank)
    if rank == 0:
        found.put(seen)
    if dist.is_initialized():
        dist.destroy_process_group()


def under_ray(recipe: str, steps: int, shards: str, text: str, to: Path, workers: int) -> list[float]:
    """The losses of jobs/pretrain.py on a cluster of its own."""
    words = ("--steps", str(steps), "--shards", shards, "--towers.text.name", text, "--to", str(to))
    often = ("--cadence.log", "1", "--cadence.evaluate", str(steps))
    ours = ("--resources.workers", str(workers), "--resources.device", "cpu")
    with Cluster() as cluster:
        command = [sys.executable, str(PRETRAIN), recipe, *words, *often, *ours]
        subprocess.run(command, env=cluster.environment, check=True)
    return [float(row["loss"] or 0) for row in journal.rows(Folder(str(to))) if "loss" in row]


def measure(run: Run, shards: str, home: Path, case: Case) -> Found:
    """In processes of its own, each begun anew, so that nothing of another engine is in them."""
    fresh = get_context("spawn")
    found = fresh.Queue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = [(run, shards, home, case, rank, port, found) for rank in range(case.workers)]
    processes = [fresh.Process(target=process, args=one) for one in given]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    if any(one.exitcode for one in processes):
        raise RuntimeError(f"{case} on {case.workers} ended with an error: see above")
    return found.get()


def apart(one: list[float], other: list[float]) -> list[float]:
    return [abs(a - b) / abs(b) for a, b in zip(one, other, strict=True)]


def main(
    *, to: Path, recipe: str = "dbeta_tiny", steps: int = 20, repeats: int = 1, record: Path | None = None
) -> None:
    """`repeats`: each case is measured so many times, and its least figures count."""
    tiny.make(to / "data")
    shards, text = str(to / "data" / "shards"), str(to / "data" / "text")
    run, _ = feed.corpora(replace(recipes.find([recipe]), steps=steps), [shards])
    run = override(run, {"towers.text.name": text})
    made, rows = {}, []
    for case in cases():
        tries = [measure(run, shards, to / "home", case) for _ in range(repeats)]
        made[case] = found = Found(
            tries[0].losses, *(min(getattr(one, name) for one in tries) for name in ("cpu", "start", "memory"))
        )
        twin, alike = made[Case(case.precision, None, 1)], made[Case(case.precision, None, case.workers)]
        rows.append(row(case, found, twin, alike))
        print(rows[-1], flush=True)
    for workers in (1, 2):
        losses = under_ray(recipe, steps, shards, text, to / f"under-ray-{workers}", workers)
        found = {"precision": "fp32", "engine": "DeepSpeed, stage 0, under Ray", "processes": workers}
        rows.append(dict.fromkeys(rows[0], "") | found | _apart(losses, made[Case("fp32", None, 1)].losses))
        print(rows[-1], flush=True)
    if record:
        widest = {p: max(one["apart"] for one in rows if one["precision"] == p) for p in ("fp32", "bf16")}
        first = max(one["apart at first"] for one in rows if one["precision"] == "bf16")
        itself = max(apart(*(made[Case(p, None, 1)].losses for p in ("bf16", "fp32"))))
        said = (
            f"Over {steps} steps of `{recipe}`, all engines make the losses of the torch engine in one process within "
            f"{widest['fp32']:.1e} in fp32, relative, and in bf16 within {first:.1e} at the first step and "
            f"{widest['bf16']:.1e} at any, where bf16 itself is up to {itself:.1e} away from fp32"
        )
        curves = [{"case": vars(case), "losses": found.losses} for case, found in made.items()]
        write(record, "Engines", said, rows, curves=curves)


def _apart(one: list[float], other: list[float]) -> dict[str, float]:
    differences = apart(one, other)
    return {"apart at first": differences[0], "apart": max(differences)}


def row(case: Case, found: Found, twin: Found, alike: Found) -> dict[str, Any]:
    return {
        "precision": case.precision,
        "engine": str(case),
        "processes": case.workers,
        **_apart(found.losses, twin.losses),
        "CPU s per step": round(found.cpu, 4),
        "of torch's": f"{found.cpu / alike.cpu:.2f}",
        "start, s": round(found.start, 1),
        "memory, MB": round(found.memory),
    }


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
