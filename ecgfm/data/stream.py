"""The same batches through Ray Data: one long-lived execution for a whole run, whatever the number of workers.

The plan's blocks are Ray Data's blocks, one task each, in the plan's order. `streaming_split(equal=True)` deals blocks
of equal length in turn when order is preserved, so worker r of W receives the slices r, r + W, r + 2W, ...: just those
that `ecgfm.data.reader.read` gives it. Each block carries its place in the plan, and a worker checks every one.

Of each block, Ray keeps 0.9 kB for each of two operators until the execution ends: batches / window * slices blocks of
300,000 batches are 0.55 GB at 8 slices and 4.4 GB at 64, in the process that deals them out.
"""

import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, cast

import numpy as np
import ray
import ray.data
from ray.data import DataContext, DataIterator, Dataset, TaskPoolStrategy

from ecgfm.batch import Batch
from ecgfm.data.carried import receiving, sending
from ecgfm.data.plan import Position
from ecgfm.data.reader import Block, Reader, batches, check_workers, schedule, scheduled
from ecgfm.data.tokens import TokenTable

_PLACES_PER_TASK = 500  # the list of blocks is made by tasks too: 40,000 of them in the driver took 40 s to start
_PAUSES = (1.0, 5.0, 20.0)  # seconds before an object store that failed is asked again; a disk is asked once


def dataset(reader: Reader, stop: int, position: Position = Position(), tasks: int | None = None) -> Dataset:
    """Every block from a position to batch `stop`, in order, each read when it is needed, by so many tasks at once."""
    window, slices = reader.plan.window, reader.plan.slices
    first, end = position.batch // window * slices, -(-stop // window) * slices
    with DataContext.current(_context()):
        places = ray.data.range(end - first, override_num_blocks=-(-(end - first) // _PLACES_PER_TASK))
        read: Any = _read  # called with the keywords below, which the annotation does not know
        return places.repartition(target_num_rows_per_block=1).map_batches(
            read,
            batch_size=None,
            compute=TaskPoolStrategy(tasks),
            fn_kwargs={"first": first, "work": ray.put((reader, position, stop))},
        )


def _read(place: dict[str, np.ndarray], first: int, work: ray.ObjectRef) -> Block:
    reader, position, stop = _given(work)
    number = int(place["id"][0]) + first
    with sending():
        block = _patiently(reader, *scheduled(reader.plan, position, stop, number))
    return block | {"place": np.full(len(block["record"]), number)}


@lru_cache(maxsize=1)
def _given(work: ray.ObjectRef) -> tuple[Reader, Position, int]:
    """Once in each process: a reader of visits keeps an epoch's order, which takes 0.3 s for 800,000 records."""
    return ray.get(work)


def _patiently(reader: Reader, *which: int) -> Block:
    for pause in () if all(folder.is_local for folder in reader.folders) else _PAUSES:
        try:
            return reader.block(*which)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            if not isinstance(error.__cause__ or error, OSError):  # a damaged shard is one a moment later
                raise
            time.sleep(pause)
    return reader.block(*which)


def _context() -> DataContext:
    context = DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # a carrier of it (ecgfm.data.carried)
    context.execution_no_progress_timeout_s = -1  # an evaluation may keep a worker from reading for any time
    context.target_max_block_size = None  # a block of the plan is one block here
    return context


def read(
    blocks: DataIterator,
    reader: Reader,
    stop: int,
    position: Position = Position(),
    rank: int = 0,
    workers: int = 1,
    tokens: TokenTable | None = None,
) -> Iterator[tuple[Batch, Position]]:
    """A worker's batches from its part of `dataset`, as `ecgfm.data.reader.read` gives them."""
    check_workers(reader.plan.slices, workers)
    whole: Any = None  # blocks as they come, which the annotation of batch_size does not know
    arrived = blocks.iter_batches(batch_size=whole, batch_format="numpy", prefetch_batches=2)
    own = schedule(reader.plan, position, stop, rank, workers)
    return batches(_checked(cast(Iterable[Block], arrived), own), reader.plan, position, workers, tokens)


def _checked(arrived: Iterable[Block], expected: Iterator[int]) -> Iterator[Block]:
    with receiving():
        for block in arrived:
            places, place = block.pop("place"), next(expected)
            if (places != place).any():
                raise RuntimeError(
                    f"Ray Data delivered block {places[0]} of the plan where block {place} was due: its order of "
                    "blocks is not the one that this version was tested with; use the version of ray that "
                    "pyproject.toml names"
                )
            yield block
