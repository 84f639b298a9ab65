"""What false reports cost: a cold exact search, a remembered answer, a round trip to the service, and what is left of
it in a step when it is asked ahead.

    python tools/bench_negatives.py                     180,000 reports of 512 numbers, 64 of them asked at a time
    python tools/bench_negatives.py --reports 2000 --steps 20

The vectors are random and of unit length, on the grid that real ones are on; an exact search costs the same for all.
Wall times, medians; the search is given one thread.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import ray
import torch
import tyro

from ecgfm import draw
from ecgfm.batch import Batch
from ecgfm.data import shards
from ecgfm.data.plan import Position
from ecgfm.data.shards import Manifest, Shard
from ecgfm.data.storage import Folder
from ecgfm.negatives.index import FarIndex, FarLists
from ecgfm.negatives.service import Client
from ecgfm.negatives.stock import Ask, Stock, in_process
from ecgfm.negatives.vectors import Embeddings, file_name
from ecgfm.recipes import find
from ecgfm.run import Band, Farthest
from ecgfm.train.feed import Feed


@dataclass(frozen=True)
class Bench:
    reports: int = 180_000
    width: int = 512
    asked: int = 64
    """Records of a batch."""
    steps: int = 200
    step: float = 0.2
    """Seconds that a step takes, as one of 64 records may on a GPU."""


def main() -> None:
    bench = tyro.cli(Bench, description=__doc__)
    with tempfile.TemporaryDirectory() as folder:
        embeddings = store(bench, Folder(folder))
        searches(bench, embeddings)
        ray.init(include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
        for how in (Farthest(64, "random"), Band(0.0, 0.5, "random")):
            stock = Stock.open(how, [Folder(folder)], [1], Folder(folder))
            served(bench, stock)
        ray.shutdown()


def store(bench: Bench, folder: Folder) -> Embeddings:
    """As much of a shard folder as the choice reads, with the vectors beside it."""
    said = [f"report {number}" for number in range(bench.reports)]
    counts = pa.array(np.ones(bench.reports, np.int32))
    table = {"report_id": np.arange(bench.reports), "text": said, "count": counts, "train": counts}
    folder.write("reports.parquet", shards.pack_table(pa.table(table)))
    one = Shard("train-00000.parquet", "train", bench.reports, 0, 0, "")
    folder.write("manifest.json", Manifest("made", "", 64, 1, bench.reports, (one,), {}).json())
    random = draw.generator("vectors").standard_normal((bench.reports, bench.width), np.float32)
    made = Embeddings.of(random, "random", said)
    made.write(folder, file_name("random", said))
    return made


def searches(bench: Bench, embeddings: Embeddings) -> None:
    began = time.perf_counter()
    index = FarIndex(embeddings.vectors, np.ones(bench.reports, np.int32))
    print(f"{bench.reports} reports of {bench.width} numbers; index made in {time.perf_counter() - began:.2f} s")
    lists, repeats = FarLists(index, 64), 5
    some = [np.arange(i * bench.asked, (i + 1) * bench.asked) for i in range(repeats)]
    say(f"cold exact search of {bench.asked}", [seconds(lambda i=i: lists[some[i]]) for i in range(repeats)])
    say(f"remembered answer for {bench.asked}", [seconds(lambda i=i: lists[some[i]]) for i in range(repeats)])


def served(bench: Bench, stock: Stock) -> None:
    name = type(stock.how).__name__
    began = time.perf_counter()
    client = Client(stock, cpus=1)
    print(f"{name}: service ready in {time.perf_counter() - began:.1f} s")
    questions = [question(bench, step) for step in range(20)]
    for kind in ("new", "known"):
        say(f"{name}: round trip, {kind} reports", [seconds(lambda q=q: client(*q)()) for q in questions])
    for way, ask in (("service, asked ahead", client), ("in process", in_process(stock))):
        say(f"{name}: wait in a step of {bench.step:g} s, {way}", waits(bench, stock, ask))
    ray.kill(client.actor)


def question(bench: Bench, step: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    reports = draw.generator("asked", step).integers(0, bench.reports, bench.asked)
    return reports, np.arange(bench.asked), 0, step


def waits(bench: Bench, stock: Stock, ask: Ask) -> list[float]:
    """Of every step, what it waited for its false reports: they are of reports that nobody has asked about."""
    run = replace(find(["dbeta_tiny"]), batch=bench.asked)
    stream = Feed(run, (), frozenset(), None, stock, ask).dress(bare(bench))
    found, before = [], 0.0
    for _ in stream:
        found.append(stream.waited - before)
        before = stream.waited
        time.sleep(bench.step)
    return found[3:]  # the first are asked for when they are needed


def bare(bench: Bench) -> Iterator[tuple[Batch, Position]]:
    b, leads = bench.asked, torch.zeros(bench.asked, 12)
    numbers, none = torch.arange(b), torch.zeros(b, dtype=torch.int32)
    signal, words = torch.zeros(b, 12, 16, dtype=torch.int16), torch.zeros(b, 0, dtype=torch.int32)
    for step in range(bench.steps):
        reports = torch.from_numpy(question(bench, 1000 + step)[0])
        yield Batch(numbers, numbers, reports, signal, leads, leads, leads > 0, none, words, none), Position(step + 1)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def say(what: str, times: list[float]) -> None:
    print(f"  {what:60}{1000 * float(np.median(times)):10.3f} ms, at most {1000 * max(times):10.3f} ms")


if __name__ == "__main__":
    main()
