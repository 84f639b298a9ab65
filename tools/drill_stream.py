"""Holds the Ray stream to its word: the same world batches for 1, 2 and 4 workers, after a stop at random positions.

    python tools/drill_stream.py SHARDS --stops 50

Prints a line per stop and exits with 1 at the first difference.
"""

import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import ray
import tyro

from ecgfm import draw
from ecgfm.data import reader, stream
from ecgfm.data.plan import Position
from ecgfm.run import Frame


def world_batches(opened: reader.Reader, start: int, stop: int, workers: int) -> list[np.ndarray]:
    """Record numbers of each world batch, as the workers together see them."""
    parts = stream.dataset(opened, stop, Position(start)).streaming_split(workers, equal=True)

    def one(rank: int) -> list[np.ndarray]:
        seen = stream.read(parts[rank], opened, stop, Position(start), rank, workers)
        return [batch.record.numpy() for batch, _ in seen]

    with ThreadPoolExecutor(workers) as pool:
        ranks = list(pool.map(one, range(workers)))
    return [np.sort(np.concatenate(batch)) for batch in zip(*ranks, strict=True)]


def main(shards: tyro.conf.Positional[str], /, stops: int = 50, batches: int = 60, batch: int = 64) -> None:
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    opened = reader.open_reader([shards], "train", batch, Frame(), slices=4, window=4)
    expected = [np.sort(opened.plan.batch_places(b).record) for b in range(batches)]
    for stop, start in enumerate([0, *draw.generator("stops").integers(1, batches, stops - 1).tolist()]):
        workers, began = (1, 2, 4)[stop % 3], time.perf_counter()
        seen = world_batches(opened, start, batches, workers)
        same = len(seen) == batches - start and all((a == b).all() for a, b in zip(seen, expected[start:], strict=True))
        took = time.perf_counter() - began
        verdict = "same" if same else "DIFFERENT"
        print(f"{stop + 1:3} from batch {start:3} on {workers} workers: {verdict}, {took:.1f} s", flush=True)
        if not same:
            sys.exit(1)
    print(f"{stops} stops: every world batch held the same records")


if __name__ == "__main__":
    tyro.cli(main)
