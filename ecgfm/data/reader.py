"""What a plan says, read: blocks of records as arrays, and the batches made of them, in this process.

`ecgfm.data.stream` runs the same blocks on Ray Data; this is what it runs, and the way without Ray.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from ecgfm import draw
from ecgfm.batch import Batch, Channels
from ecgfm.data import shards, transforms
from ecgfm.data.plan import Chunks, Places, Plan, Position, Visits
from ecgfm.data.record import LEADS, OTHERS, Signal
from ecgfm.data.shards import Manifest
from ecgfm.data.storage import Folder
from ecgfm.data.tokens import TokenTable
from ecgfm.run import Frame

Block = dict[str, np.ndarray]  # the columns of a Batch but the words, one row per record; "ppg/signal" of the others


@dataclass(frozen=True)
class Reader:
    """A plan and the shards it is about: a small value that travels to whoever reads."""

    folders: tuple[Folder, ...]
    manifests: tuple[Manifest, ...]
    plan: Plan
    frame: Frame
    kinds: tuple[str, ...] = ()  # of channels that are read beside the ECG

    def block(self, piece: int, slice_: int, first: int, end: int) -> Block:
        """The records of a slice in batches first, ..., end - 1 of a piece."""
        places = self.plan.block(piece, slice_)[first * self.plan.part : end * self.plan.part]
        block = _empty(len(places), self.frame, self.kinds)
        block["record"][:] = places.record
        where = _windows(places, self.plan.seed)
        for corpus in np.unique(places.corpus):
            for shard in np.unique(places.shard[places.corpus == corpus]):
                here = np.flatnonzero((places.corpus == corpus) & (places.shard == shard))
                self._fill(block, int(corpus), int(shard), here, places.row[here], where[here])
        return block

    def _fill(
        self, block: Block, corpus: int, shard: int, index: np.ndarray, rows: np.ndarray, where: np.ndarray
    ) -> None:
        manifest, before = self.manifests[corpus], sum(m.reports for m in self.manifests[:corpus])
        chunks = np.unique(rows // manifest.chunk)
        name, columns = manifest.shards[shard].name, (*shards.ECG_COLUMNS, "subject", "report")
        columns += ("others",) if self.kinds else ()
        table = shards.read(self.folders[corpus], name, chunks.tolist(), columns)
        start = np.searchsorted(chunks, rows // manifest.chunk) * manifest.chunk  # where a row's chunk begins
        for i, row, u in zip(index, table.take(start + rows % manifest.chunk).to_pylist(), where, strict=True):
            ecg = shards.signal(row)
            second = transforms.begins(ecg, self.frame, float(u))
            _put(block, "", int(i), ecg, self.frame, second)
            for kind in self.kinds:
                if channels := shards.channels(row, kind):
                    _put(block, f"{kind}/", int(i), channels, self.frame.of(kind), second)
            block["subject"][i] = corpus << 32 | row["subject"]
            block["report"][i] = row["report"] + before if row["report"] >= 0 else -1


def open_reader(
    uris: Iterable[str],
    split: str,
    batch: int,
    frame: Frame,
    *,
    seed: int = 0,
    shares: tuple[int, ...] | None = None,
    visits: bool = False,
    kinds: tuple[str, ...] = (),
    slices: int = 8,
    window: int = 8,
) -> Reader:
    """`kinds` of channels are read beside the ECG, from the records that have them: the Batch's `others`."""
    for kind in kinds:
        if kind not in OTHERS or kind not in frame.others:
            known = sorted(OTHERS.keys() & frame.others.keys())
            raise ValueError(f"no channels of the kind {kind!r} can be read: there are {', '.join(known)}")
    folders = tuple(Folder(uri) for uri in uris)
    manifests = tuple(shards.manifest(folder) for folder in folders)
    orders = tuple(
        _visits(folder, manifest, split) if visits else Chunks.of(manifest, split)
        for folder, manifest in zip(folders, manifests, strict=True)
    )
    for manifest, order in zip(manifests, orders, strict=True):
        if not order.records:
            raise ValueError(
                f"the shards of {manifest.corpus} hold no {split} records: leave the corpus out, or make them again "
                "with other shares (jobs/shard.py --layout.valid, --layout.test)"
            )
    plan = Plan(orders, batch, seed, shares or (1,) * len(folders), slices, window)
    return Reader(folders, manifests, plan, frame, kinds)


def _visits(folder: Folder, manifest: Manifest, split: str) -> Visits:
    index = shards.index(folder, ["shard", "row", "subject", "split"])
    here = np.array(index["split"]) == split
    return Visits(*(np.array(index[name], np.int64)[here] for name in ("shard", "row", "subject")))


def _windows(places: Places, seed: int) -> np.ndarray:
    """Where a window begins in a recording that is longer than the frame: a function of record and epoch."""
    where = np.empty(len(places))
    for epoch in np.unique(places.epoch):
        here = places.epoch == epoch
        record = torch.from_numpy(places.record[here])
        where[here] = draw.uniform(seed, f"window/{epoch}", record, 1)[:, 0].numpy()
    return where


def _empty(rows: int, frame: Frame, kinds: tuple[str, ...]) -> Block:
    block = {name: np.zeros(rows, np.int64) for name in ("record", "subject", "report")}
    others = ((f"{kind}/", OTHERS[kind], frame.of(kind).samples) for kind in kinds)
    for kind, channels, samples in (("", len(LEADS), frame.samples), *others):
        block |= {
            f"{kind}signal": np.zeros((rows, channels, samples), np.int16),
            f"{kind}scale": np.zeros((rows, channels), np.float32),
            f"{kind}offset": np.zeros((rows, channels), np.float32),
            f"{kind}leads": np.zeros((rows, channels), bool),
            f"{kind}length": np.zeros(rows, np.int32),
        }
    return block


def _put(block: Block, kind: str, i: int, channels: Signal, frame: Frame, start: float) -> None:
    fitted = transforms.fit(channels, frame, start, block[f"{kind}signal"][i])
    for name, value in zip(("scale", "offset", "leads", "length"), fitted, strict=True):
        block[kind + name][i] = value


def schedule(plan: Plan, position: Position, stop: int, rank: int = 0, workers: int = 1) -> Iterator[int]:
    """The numbers of a worker's blocks from a position to batch `stop`: piece * slices + slice, in order."""
    pieces = range(position.batch // plan.window, -(-stop // plan.window))
    return (piece * plan.slices + slice_ for piece in pieces for slice_ in range(rank, plan.slices, workers))


def scheduled(plan: Plan, position: Position, stop: int, number: int) -> tuple[int, int, int, int]:
    """(piece, slice, first batch, end batch) of a block: the first and the last piece may be read in part."""
    piece, slice_ = divmod(number, plan.slices)
    first, end = (min(max(batch - piece * plan.window, 0), plan.window) for batch in (position.batch, stop))
    return piece, slice_, first, end


def check_workers(slices: int, workers: int) -> None:
    if workers < 1 or slices % workers:
        good = [n for n in range(1, slices + 1) if slices % n == 0]
        raise ValueError(
            f"{workers} workers cannot share a batch of {slices} slices evenly: use {', '.join(map(str, good))} "
            "workers, or another number of slices (which changes the order of records)"
        )


def batches(
    blocks: Iterable[Block], plan: Plan, position: Position, workers: int, tokens: TokenTable | None
) -> Iterator[tuple[Batch, Position]]:
    """A worker's blocks, in order, as its part of each world batch, with the position after it."""
    own, part, batch = plan.slices // workers, plan.part, position.batch
    blocks = iter(blocks)
    while piece := list(islice(blocks, own)):
        for i in range(len(piece[0]["record"]) // part):
            batch += 1
            yield _batch(piece, slice(i * part, (i + 1) * part), tokens), Position(batch)


def _batch(piece: list[Block], rows: slice, tokens: TokenTable | None) -> Batch:
    columns = {name: np.concatenate([block[name][rows] for block in piece]) for name in piece[0]}
    size = len(columns["record"])
    words, counts = (
        tokens.lookup(columns["report"]) if tokens else (np.zeros((size, 0), np.int32), np.zeros(size, np.int32))
    )
    tensors = {name: torch.from_numpy(c) for name, c in (columns | {"words": words, "word_count": counts}).items()}
    kinds = dict.fromkeys(name.partition("/")[0] for name in tensors if "/" in name)
    others = {kind: Channels(*(tensors.pop(f"{kind}/{name}") for name in Channels._fields)) for kind in kinds}
    return Batch(**tensors, others=others)


def read(
    reader: Reader,
    stop: int,
    position: Position = Position(),
    rank: int = 0,
    workers: int = 1,
    tokens: TokenTable | None = None,
    threads: int = 1,
) -> Iterator[tuple[Batch, Position]]:
    """Batches position.batch, ..., stop - 1 as this rank sees them, read ahead by `threads` threads of this process."""
    check_workers(reader.plan.slices, workers)
    own = (scheduled(reader.plan, position, stop, n) for n in schedule(reader.plan, position, stop, rank, workers))
    return batches(_ahead(reader, own, threads), reader.plan, position, workers, tokens)


def _ahead(reader: Reader, work: Iterator[tuple[int, int, int, int]], threads: int) -> Iterator[Block]:
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Block]] = deque()
        while True:
            for piece in islice(work, threads + 1 - len(waiting)):
                waiting.append(pool.submit(reader.block, *piece))
            if not waiting:
                return
            yield waiting.popleft().result()
