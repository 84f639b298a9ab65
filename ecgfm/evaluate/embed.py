"""Every record of a cohort, once, as a vector.

A recording longer than the frame is seen through as few windows as cover it, spread evenly, and their vectors are
averaged: what happens in any of its seconds can count, where the window in the middle would miss an extra beat.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from ecgfm.batch import ROW_BITS, Batch, locate
from ecgfm.data import shards, transforms
from ecgfm.data.storage import Folder
from ecgfm.embedder import Embedder
from ecgfm.run import Frame

AT_ONCE = 64  # windows of a batch


class Vectors:
    """Vectors of records, each made once: tasks of one corpus ask for the same ones."""

    def __init__(self, embedder: Embedder):
        self.embedder = embedder
        self._made: dict[str, dict[int, np.ndarray]] = {}

    def of(self, folder: Folder, record: Int64[np.ndarray, "n"]) -> Float32[np.ndarray, "n d"]:
        made = self._made.setdefault(folder.uri, {})
        new = np.array([number for number in record.tolist() if number not in made], np.int64)
        if len(new):
            made.update(zip(new.tolist(), embed(self.embedder, folder, new), strict=True))
        return np.stack([made[number] for number in record.tolist()])


def embed(embedder: Embedder, folder: Folder, record: Int64[np.ndarray, "n"]) -> Float32[np.ndarray, "n d"]:
    """A vector per record, in their order."""
    seen = windows(folder, record, embedder.frame, embedder.kinds)
    return averaged(((embedder.embed_batch(b), which) for b, which in seen), len(record))


def averaged(found: Iterator[tuple[Tensor, Int64[Tensor, "w"]]], records: int) -> Float32[np.ndarray, "n d"]:
    """The mean of each record's windows, from vectors and whose they are."""
    vectors, which = zip(*((v.float().cpu(), w) for v, w in found), strict=True)
    which, vectors = torch.cat(which), torch.cat(vectors)
    total = torch.zeros(records, vectors.shape[1], dtype=torch.float64).index_add_(0, which, vectors.double())
    return (total / torch.bincount(which, minlength=records)[:, None]).float().numpy()


def windows(
    folder: Folder, record: Int64[np.ndarray, "n"], frame: Frame, kinds: tuple[str, ...] = ()
) -> Iterator[tuple[Batch, Int64[Tensor, "w"]]]:
    """Windows of these records in batches, and of which record each is. With channels of other `kinds`, where asked."""
    waiting: list[tuple] = []
    for index, row in stored(folder, record, ("others",) if kinds else ()):
        others = {kind: shards.channels(row, kind) for kind in kinds}
        seen = transforms.windows(shards.signal(row), others, frame)
        waiting += [(index, row["subject"], *window) for window in seen]
        while len(waiting) >= AT_ONCE:
            yield _batch(waiting[:AT_ONCE], record)
            waiting = waiting[AT_ONCE:]
    if waiting:
        yield _batch(waiting, record)


def stored(folder: Folder, record: Int64[np.ndarray, "n"], more: tuple[str, ...] = ()) -> Iterator[tuple[int, dict]]:
    """Each record's number in the list, and its row with ECG and subject; in the order in which they are stored."""
    manifest, columns = shards.manifest(folder), (*shards.ECG_COLUMNS, "subject", *more)
    _, shard, row = locate(record)
    place = shard << ROW_BITS | row // manifest.chunk
    for chunk in np.unique(place):
        here = np.flatnonzero(place == chunk)
        first = here[0]
        table = shards.read(folder, manifest.shards[shard[first]].name, [int(row[first]) // manifest.chunk], columns)
        yield from zip(here.tolist(), table.take(row[here] % manifest.chunk).to_pylist(), strict=True)


def _batch(windows: list[tuple], record: Int64[np.ndarray, "n"]) -> tuple[Batch, Int64[Tensor, "w"]]:
    index, subject, ecg, others = zip(*windows, strict=True)
    of, size = np.array(index), len(windows)
    return Batch(
        torch.from_numpy(record[of]),
        torch.tensor(subject),
        torch.full((size,), -1),
        *transforms.stacked(ecg),
        words=torch.zeros(size, 0, dtype=torch.int32),
        word_count=torch.zeros(size, dtype=torch.int32),
        others={kind: transforms.stacked([seen[kind] for seen in others]) for kind in others[0]},
    ), torch.from_numpy(of)
