from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgfm import draw
from ecgfm.batch import Channels
from ecgfm.data import reader, stream
from ecgfm.data.plan import Position
from ecgfm.run import Frame

pytestmark = pytest.mark.ray

STOP = 30


def streamed(opened: reader.Reader, start: int, workers: int) -> list[list[tuple]]:
    """What each worker sees."""
    parts = stream.dataset(opened, STOP, Position(start)).streaming_split(workers, equal=True)

    def one(rank: int) -> list[tuple]:
        return list(stream.read(parts[rank], opened, STOP, Position(start), rank, workers))

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, range(workers)))


@pytest.mark.slow
def test_ray_gives_every_worker_what_the_plan_says(local_ray: None, made_shards: Path) -> None:
    opened = reader.open_reader([str(made_shards)], "train", 16, Frame(100, 8.0), kinds=("ppg",), slices=4, window=4)
    starts = [0, *draw.generator("starts").integers(1, STOP, 2).tolist()]
    for workers, start in zip((1, 2, 4), starts, strict=True):
        for rank, batches in enumerate(streamed(opened, start, workers)):
            expected = list(reader.read(opened, STOP, Position(start), rank, workers))
            assert len(batches) == len(expected) == STOP - start
            for (batch, position), (other, place) in zip(batches, expected, strict=True):
                assert position == place
                for name in ("record", "signal", "scale", "offset", "leads", "length", "subject", "report"):
                    assert torch.equal(getattr(batch, name), getattr(other, name)), name
                for name, column in zip(Channels._fields, batch.others["ppg"], strict=True):
                    assert torch.equal(column, getattr(other.others["ppg"], name)), name


def test_blocks_out_of_order_are_noticed(made_shards: Path) -> None:
    opened = reader.open_reader([str(made_shards)], "train", 16, Frame(100, 8.0), slices=4, window=4)
    blocks = [opened.block(0, s, 0, 4) | {"place": np.full(16, s)} for s in (0, 2, 1, 3)]
    with pytest.raises(RuntimeError, match="block 2 of the plan where block 1 was due"):
        list(stream._checked(blocks, iter(range(4))))
