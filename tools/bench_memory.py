"""Resident memory while a corpus is sharded and streamed: does it grow with the corpus?

    python tools/bench_memory.py --records 20000

Samples the proportional set size of this process and all its children (Ray's included) twice a second, and prints its
course in tenths of the work.
"""

import logging
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import ray
import tyro

from ecgfm.data import reader, stream, synthetic
from ecgfm.data.layout import Layout
from ecgfm.data.sharding import shard
from ecgfm.data.sources.mimic_iv_ecg import Corpus
from ecgfm.data.storage import Folder
from ecgfm.run import Frame


def resident() -> float:
    """GB, with shared pages counted once."""
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1e9


def watched(title: str, work: Callable[[], object]) -> None:
    seen, over = [], threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            seen.append(resident())

    watcher, began = threading.Thread(target=watch), time.perf_counter()
    watcher.start()
    work()
    over.set()
    watcher.join()
    tenths = [f"{np.max(part):.2f}" for part in np.array_split(np.array(seen), 10) if len(part)]
    print(f"{title}: {time.perf_counter() - began:.0f} s, GB in each tenth: {' '.join(tenths)}", flush=True)


def main(records: int = 20_000) -> None:
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        tree, to = Path(folder) / "tree", Folder(f"{folder}/shards")
        synthetic.write(tree, records=records)
        source, layout = Folder(str(tree)), Layout(rows=512)
        watched("sharding", lambda: shard("mimic-iv-ecg", Corpus(), source, to, layout, limit=0.2))
        opened = reader.open_reader([to.uri], "train", 128, Frame(), window=16)
        batches = records // 128 * 2
        part = stream.dataset(opened, batches).streaming_split(1, equal=True)[0]
        watched("streaming through Ray Data", lambda: passed(stream.read(part, opened, batches)))
        watched("streaming in process", lambda: passed(reader.read(opened, batches, threads=2)))


def passed(batches: Iterator) -> None:
    """Take every batch and keep none."""
    deque(batches, maxlen=0)


if __name__ == "__main__":
    tyro.cli(main)
