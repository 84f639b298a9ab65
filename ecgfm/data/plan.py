"""Which records stand in which world batch: a pure function of the shards' row counts, the seed and the batch.

The order. An epoch of a corpus is a permutation of its chunks (row groups of shards), drawn from seed and epoch, one
after another; epochs follow each other without a seam, so batches never vary in size and each record comes exactly once
per epoch. World batches are cut from this endless sequence in pieces of `window` batches. A piece is dealt to `slices`
canonical slices in contiguous runs; each slice permutes its run and cuts it into its part of each batch of the piece:

    block (piece p, slice s)  =  records [(p * slices + s) * run, ... + run), permuted;  run = window * batch / slices

A block is one piece of work that reads a handful of whole chunks, and it belongs to worker s mod workers. So any number
of workers that divides `slices` sees the same batches, a stop at batch b is a start in piece b // window, and to find a
place costs one permutation of the chunks.

How well it mixes. Two records of one chunk meet in a world batch with probability 1 / window, where a full shuffle of N
records gives batch / N. But shards hold random subjects in random order, so chunk-mates are strangers, and each epoch
deals them anew with other chunks: `test_shuffle_quality` measures both.

Several corpora are mixed by integer shares: of every sum(shares) places of the sequence, at fixed places drawn from the
seed, shares[i] are corpus i's, and each corpus runs through epochs of its own.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Int64, Shaped

from ecgfm import draw
from ecgfm.batch import record_id
from ecgfm.data.shards import Manifest


@dataclass(frozen=True)
class Position:
    """Where a stream stands: the index of the next world batch. All else follows from the plan."""

    batch: int = 0


@dataclass(frozen=True)
class Places:
    """Records, by where they stand and in which epoch of their corpus they are read."""

    corpus: Int64[np.ndarray, "n"]
    epoch: Int64[np.ndarray, "n"]
    shard: Int64[np.ndarray, "n"]
    row: Int64[np.ndarray, "n"]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: Shaped[np.ndarray, "m"] | slice) -> "Places":
        return Places(self.corpus[index], self.epoch[index], self.shard[index], self.row[index])

    @property
    def record(self) -> Int64[np.ndarray, "n"]:
        return record_id(self.corpus, self.shard, self.row)


@dataclass(frozen=True)
class Chunks:
    """The order of one split of a corpus by chunks."""

    shard: tuple[int, ...]  # per chunk: the number of its shard in the manifest
    start: tuple[int, ...]  # its first row
    rows: tuple[int, ...]

    unit = 1  # records that stay together

    @staticmethod
    def of(manifest: Manifest, split: str) -> "Chunks":
        chunks = [
            (number, start, min(manifest.chunk, shard.rows - start))
            for number, shard in enumerate(manifest.shards)
            if shard.split == split
            for start in range(0, shard.rows, manifest.chunk)
        ]
        return Chunks(*zip(*chunks, strict=True)) if chunks else Chunks((), (), ())

    @property
    def records(self) -> int:
        return sum(self.rows)

    def at(self, place: Int64[np.ndarray, "n"], seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Shards and rows of these places of an epoch."""
        shard, start, rows, ends = _permuted(self, seed, epoch)
        chunk = np.searchsorted(ends, place, side="right")
        return shard[chunk], start[chunk] + place - (ends[chunk] - rows[chunk])


@lru_cache(maxsize=8)
def _permuted(chunks: Chunks, seed: int, epoch: int) -> tuple[np.ndarray, ...]:
    order = draw.generator("chunks", seed, epoch).permutation(len(chunks.rows))
    shard, start, rows = (np.array(column, np.int64)[order] for column in (chunks.shard, chunks.start, chunks.rows))
    return shard, start, rows, np.cumsum(rows)


class Visits:
    """An order in which records come in twos, and wherever it can be, two visits of one subject.

    A subject's visits are paired at random, anew in each epoch; subjects' odd ones out are paired with each other,
    those of a shard first. Where the number of records is odd, one of them is left out of an epoch.
    """

    unit = 2

    def __init__(
        self, shard: Int64[np.ndarray, "n"], row: Int64[np.ndarray, "n"], subject: Int64[np.ndarray, "n"]
    ) -> None:
        self.shard, self.row, self.subject = shard, row, subject
        self._epochs: dict[tuple[int, int], np.ndarray] = {}

    @property
    def records(self) -> int:
        return len(self.row) // 2 * 2

    def at(self, place: Int64[np.ndarray, "n"], seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        if (seed, epoch) not in self._epochs:  # 0.5 s for 800,000 records
            self._epochs = {(seed, epoch): self._paired(seed, epoch)}
        index = self._epochs[seed, epoch][place]
        return self.shard[index], self.row[index]

    def _paired(self, seed: int, epoch: int) -> Int64[np.ndarray, "n"]:
        """Records of an epoch in order: 2i and 2i + 1 belong together."""
        random = draw.generator("visits", seed, epoch)
        turn = random.permutation(self.shard.max() + 1)[self.shard]
        order = np.lexsort((random.random(len(turn)), self.subject, turn))
        first = np.r_[True, self.subject[order][1:] != self.subject[order][:-1]]
        starts = np.flatnonzero(first)
        size = np.diff(np.r_[starts, len(order)])
        visit = np.arange(len(order)) - np.repeat(starts, size)
        odd_one_out = (visit == np.repeat(size, size) - 1) & (visit % 2 == 0)
        alone = order[odd_one_out]
        pairs = np.concatenate((order[~odd_one_out], alone[: len(alone) // 2 * 2])).reshape(-1, 2)
        return pairs[np.lexsort((random.random(len(pairs)), turn[pairs[:, 0]]))].ravel()


@dataclass(frozen=True)
class Plan:
    orders: tuple[Chunks | Visits, ...]  # one per corpus
    batch: int  # records of a world batch
    seed: int = 0
    shares: tuple[int, ...] = (1,)
    slices: int = 8
    window: int = 8

    def __post_init__(self) -> None:
        if len(self.shares) != len(self.orders) or min(self.shares) < 1:
            raise ValueError(f"{len(self.orders)} corpora need as many shares, each at least 1: got {self.shares}")
        if self.batch % (self.slices * self.unit):
            raise ValueError(
                f"a world batch of {self.batch} cannot be cut into {self.slices} slices of whole "
                f"{'records' if self.unit == 1 else 'pairs'}: make it a multiple of {self.slices * self.unit}"
            )

    @property
    def unit(self) -> int:
        return max(order.unit for order in self.orders)

    @property
    def part(self) -> int:
        """Records of a slice in one batch."""
        return self.batch // self.slices

    def block(self, piece: int, slice_: int) -> Places:
        """The records of a slice in the batches of a piece: those of its batch i are [i * part, (i + 1) * part)."""
        run = self.window * self.part // self.unit
        start = (piece * self.slices + slice_) * run
        dealt = [self._sequence(i, *self._share(i, start, start + run)) for i in range(len(self.orders))]
        columns = (np.concatenate([getattr(d, name) for d in dealt]) for name in ("corpus", "epoch", "shard", "row"))
        order = draw.generator("block", self.seed, piece, slice_).permutation(run)
        return Places(*columns)[(order[:, None] * self.unit + np.arange(self.unit)).ravel()]

    def batch_places(self, batch: int) -> Places:
        """A whole world batch, slice by slice."""
        piece, i = divmod(batch, self.window)
        parts = [self.block(piece, s)[i * self.part : (i + 1) * self.part] for s in range(self.slices)]
        return Places(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("corpus", "epoch", "shard", "row")))

    def _share(self, corpus: int, start: int, stop: int) -> tuple[int, int]:
        """How many units of a corpus lie before two places of the mixed sequence."""
        pattern = np.repeat(np.arange(len(self.shares)), self.shares)
        pattern = draw.generator("mix", self.seed).permutation(pattern)
        before = np.r_[0, np.cumsum(pattern == corpus)]
        first, last = (n // len(pattern) * self.shares[corpus] + int(before[n % len(pattern)]) for n in (start, stop))
        return first, last

    def _sequence(self, corpus: int, start: int, stop: int) -> Places:
        """Units start, ..., stop - 1 of a corpus's endless sequence."""
        order = self.orders[corpus]
        place = np.arange(start * self.unit, stop * self.unit)
        epoch, place = np.divmod(place, order.records)
        shard, row = np.empty_like(place), np.empty_like(place)
        for number in np.unique(epoch):
            here = epoch == number
            shard[here], row[here] = order.at(place[here], self.seed, int(number))
        return Places(np.full(len(place), corpus), epoch, shard, row)
