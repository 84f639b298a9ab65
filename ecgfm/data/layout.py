"""Where each record of a corpus will stand: split, shard and order, from the list of records alone."""

# pyarrow makes its compute functions at run time, where a type checker cannot see them
# pyright: reportAttributeAccessIssue=false

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64, UInt64

from ecgfm import draw
from ecgfm.data.shards import SPLITS


@dataclass(frozen=True)
class Layout:
    """How a corpus is cut, and what of it is refused."""

    rows: int = 1024  # records of a shard, about: 30 MB of a 12-lead, 10 s, 500 Hz corpus
    chunk: int = 64  # records that are read at once
    valid: float = 0.05  # share of the subjects, where the publisher names no split
    test: float = 0.05
    leads: int = 12  # a record with fewer leads is refused
    reports: bool = False  # a record without a report is refused


def lay_out(entries: pa.Table, layout: Layout) -> pa.Table:
    """The entries in the order of the shards, with two columns more: shard (its file name) and index (of the subject).

    All records of a subject lie in one shard, and so in one split: the publisher's, or one drawn from a hash of the
    subject, which more records of other subjects do not change. Shards hold subjects in the order of their hashes, and
    their records in random order.
    """
    subjects = entries["subject"].combine_chunks().dictionary_encode()
    of_entry = subjects.indices.to_numpy()
    keys = np.array([_hash(subject) for subject in subjects.dictionary.to_pylist()], np.uint64)
    splits = _splits(entries["split"], of_entry, keys, layout)
    rank = np.lexsort((keys, splits)).argsort()  # of each subject, over all splits
    order = np.lexsort((_text_rank(entries["path"]), rank[of_entry]))
    rank, split = rank[of_entry[order]], splits[of_entry[order]]
    shard = _shards(rank, split, layout.rows)
    shuffled = np.lexsort((draw.generator("rows").random(len(order)), shard))
    first_of_split = np.array([shard[split == s].min(initial=len(shard)) for s in range(len(SPLITS))])
    names = [f"{SPLITS[s]}-{n - first_of_split[s]:05}.parquet" for s, n in zip(split, shard, strict=True)]
    laid_out = entries.take(order).append_column("shard", pa.array(names, pa.string()))
    return laid_out.append_column("index", pa.array(rank, pa.int32())).take(shuffled)


def _hash(subject: str) -> int:
    return int.from_bytes(hashlib.blake2b(subject.encode(), digest_size=8).digest(), "little")


def _text_rank(texts: pa.ChunkedArray) -> Int64[np.ndarray, "n"]:
    return pc.sort_indices(texts).to_numpy().argsort()


def _splits(
    named: pa.ChunkedArray, of_entry: np.ndarray, keys: UInt64[np.ndarray, "subject"], layout: Layout
) -> Int64[np.ndarray, "subject"]:
    """The split of each subject, as a number."""
    published = pc.fill_null(pc.index_in(named, pa.array(SPLITS)), -1).to_numpy().astype(np.int64)
    low, high = np.full(len(keys), len(SPLITS)), np.full(len(keys), -1)
    np.minimum.at(low, of_entry, published)
    np.maximum.at(high, of_entry, published)
    if (low != high).any():
        raise ValueError(
            f"{(low != high).sum()} subjects stand in more than one split of the publisher: a model would be tested on "
            "subjects that it was trained on. Mend the split, or leave its column out and let one be drawn"
        )
    drawn = keys / 2.0**64
    by_hash = np.where(drawn < layout.test, 2, np.where(drawn < layout.test + layout.valid, 1, 0))
    return np.where(low >= 0, low, by_hash)


def _shards(rank: np.ndarray, split: np.ndarray, rows: int) -> Int64[np.ndarray, "n"]:
    """The number of each entry's shard, for entries in the order of splits and subjects."""
    starts = np.flatnonzero(np.r_[True, rank[1:] != rank[:-1]])  # where each subject's entries begin
    split_start = np.searchsorted(split, split[starts])
    of_subject = np.stack((split[starts], (starts - split_start) // rows))
    new = np.r_[False, (of_subject[:, 1:] != of_subject[:, :-1]).any(axis=0)]
    return np.repeat(np.cumsum(new), np.diff(np.r_[starts, len(rank)]))
