import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray
import torch

from ecgfm import draw
from ecgfm.batch import Channels
from ecgfm.data import reader, stream
from ecgfm.data.plan import Position, Visits
from ecgfm.data.reader import Reader
from ecgfm.data.storage import Folder
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


def test_a_damaged_shard_is_told_by_its_name_and_nothing_else(
    local_ray: None, made_shards: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(made_shards, tmp_path / "shards")
    opened = reader.open_reader([str(folder)], "train", 16, Frame(100, 8.0), slices=4, window=4)
    for made in opened.manifests[0].shards:
        (folder / made.name).write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"\w+-\d+\.parquet cannot be read \(.*--repair makes it again$") as told:
        streamed(opened, 0, 2)
    assert type(told.value) is ValueError
    assert "\n" not in str(told.value)


def test_visits_are_sorted_once_for_all_blocks_of_a_process(
    local_ray: None, made_shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = reader.open_reader([str(made_shards)], "train", 16, Frame(100, 8.0), visits=True, slices=4, window=4)
    work, paired, sorted_for = ray.put((opened, Position(), STOP)), Visits._paired, []

    def counted(self: Visits, seed: int, epoch: int) -> np.ndarray:
        sorted_for.append(epoch)
        return paired(self, seed, epoch)

    monkeypatch.setattr(Visits, "_paired", counted)
    for number in range(3):
        stream._read({"id": np.array([number])}, 0, work)
    assert sorted_for == [0]


def test_a_store_that_was_away_is_asked_again(made_shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = reader.open_reader([str(made_shards)], "train", 16, Frame(100, 8.0), slices=4, window=4)
    nobody = Folder("s3://key:word@bucket/folder?scheme=http&region=us-east-1&endpoint_override=127.0.0.1:9")
    away, block, asked = replace(opened, folders=(nobody,)), Reader.block, []

    def back_the_second_time(self: Reader, *which: int) -> reader.Block:
        asked.append(which)
        return block(opened if len(asked) > 1 else self, *which)

    monkeypatch.setattr(Reader, "block", back_the_second_time)
    monkeypatch.setattr(stream, "_PAUSES", (0.0,))
    assert "record" in stream._patiently(away, 0, 0, 0, 4)
    assert len(asked) == 2
