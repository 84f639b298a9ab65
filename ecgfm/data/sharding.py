"""From a corpus to shards, on Ray Data.

The list of records decides everything before a signal is read, so each shard is a function of the corpus and the
options alone, any task can make it, and a job that was killed goes on with the shards that are missing and ends with
the same bytes. In the folder parts/ stand

    options.json      what the shards are made of and how: another corpus or other options are not mixed in
    list.parquet      the list, a row group per shard, while the job works
    <shard>.json      what came of a shard: written after the shard, so it says that the shard is whole
"""

# pyarrow makes its compute functions at run time, where a type checker cannot see them
# pyright: reportAttributeAccessIssue=false

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray.data

from ecgfm.data import quality, shards
from ecgfm.data.carried import receiving, sending
from ecgfm.data.layout import Layout, lay_out
from ecgfm.data.quality import Refusal
from ecgfm.data.record import Record
from ecgfm.data.reports import report_table
from ecgfm.data.shards import Manifest, Shard
from ecgfm.data.storage import Folder

PAUSES = (0.1, 1.0)  # seconds before a file that could not be read is tried again
REFUSALS = pa.schema([(name, pa.string()) for name in ("shard", "path", "reason", "detail")])


@runtime_checkable
class Corpus(Protocol):
    """What a file in ecgfm.data.sources gives."""

    def entries(self, source: Folder) -> pa.Table: ...
    def read(self, source: Folder, entry: dict) -> Record: ...


class TooManyRefused(Exception):
    """More of a corpus was refused than its user expects."""


@dataclass(frozen=True)
class Work:
    """What a task needs to make a shard."""

    corpus: Corpus
    source: Folder
    to: Folder
    layout: Layout

    def make(self, shard: int) -> Shard:
        with self.to.file("parts/list.parquet") as stream:
            entries = pq.ParquetFile(stream).read_row_group(shard).to_pylist()
        rows, refusals = [], []
        for number, entry in enumerate(entries):
            try:
                record = self._read(entry, f"{entry['shard']}, row {number}")
                quality.check(record, self.layout.leads, self.layout.reports)
            except Refusal as refusal:
                refusals.append((entry["path"], refusal.reason, refusal.detail))
            else:
                rows.append(shards.row(record, entry["index"], entry["report_id"]))
        name, content = entries[0]["shard"], shards.pack(rows, self.layout.chunk)
        sha256 = hashlib.sha256(content).hexdigest()
        made = Shard(name, name.partition("-")[0], len(rows), len(refusals), len(content), sha256)
        self.to.write(name, content)
        self.to.write(f"parts/{name}.json", json.dumps({"shard": asdict(made), "refusals": refusals}).encode())
        return made

    def _read(self, entry: dict, place: str) -> Record:
        """A record, or a Refusal. Other errors tell no more than the place: their own words may hold a path, and with
        it a subject."""
        try:
            return _patiently(lambda: self.corpus.read(self.source, entry))
        except Refusal:
            raise
        except OSError as error:
            raise Refusal("unreadable-file", type(error).__name__) from None
        except Exception as error:
            raise RuntimeError(
                f"{place}: {type(error).__name__} while it was read: a fault of the corpus's reader. Its words may "
                "name a subject and are not told here: to see them, read that row of parts/list.parquet by itself"
            ) from None


def _patiently(read: Callable[[], Record]) -> Record:
    for pause in PAUSES:
        try:
            return read()
        except OSError:
            time.sleep(pause)
    return read()


def shard(
    name: str,
    corpus: Corpus,
    source: Folder,
    to: Folder,
    layout: Layout,
    limit: float,
    repair: bool = False,
    progress: Callable[[int, int], None] = lambda read, total: None,
) -> tuple[Manifest, int]:
    """Make the shards of a corpus, or those that are still missing or, with `repair`, damaged. How many were made.

    More refused records than the share `limit` of all are an error, once all is made.
    """
    entries = corpus.entries(source)
    reports = report_table(entries["report"])
    ids = pc.fill_null(pc.index_in(entries["report"], reports["text"].combine_chunks()), -1)
    listed = lay_out(entries.append_column("report_id", ids.cast(pa.int32())), layout)
    names, counts = _runs(listed["shard"])
    _claim(to, f"{name} {corpus!r} {layout!r} list {_fingerprint(listed)}")
    pending = _pending(to, names, repair)
    if pending:
        _write_list(to, listed, counts)
        read = int(counts.sum() - counts[pending].sum())
        for rows in _made(Work(corpus, source, to, layout), pending):
            read += rows
            progress(read, int(counts.sum()))
        to.delete("parts/list.parquet")
    if not pending and to.exists("manifest.json") and not shards.damaged(to, shards.manifest(to).tables):
        return shards.manifest(to), 0
    return _finish(name, to, names, reports, layout.chunk, limit), len(pending)


def _runs(shard: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The shards in their order, and how many entries each has."""
    runs = pc.run_end_encode(shard.combine_chunks())
    return runs.values.to_pylist(), np.diff(np.r_[0, runs.run_ends.to_numpy()])


def _fingerprint(table: pa.Table) -> str:
    return hashlib.sha256(shards.pack_table(table)).hexdigest()[:16]


def _claim(to: Folder, options: str) -> None:
    claim = json.dumps(options).encode()
    if not to.exists("parts/options.json"):
        to.write("parts/options.json", claim)
    elif to.read("parts/options.json") != claim:
        raise ValueError(
            f"{to} holds shards of another corpus, of other options, or of a source that has changed since: "
            "give --to another folder, or delete this one"
        )


def _pending(to: Folder, names: list[str], repair: bool) -> list[int]:
    """The numbers of the shards that have to be made."""

    def is_missing(name: str) -> bool:
        if not to.exists(f"parts/{name}.json"):
            return True
        try:
            made = _part(to, name)[0]
        except ValueError:  # empty: an older version did not wait for the disk before it gave a file its name
            return True
        return bool(shards.damaged(to, {name: made.sha256})) if repair else to.size(name) != made.bytes

    with ThreadPoolExecutor(8) as pool:
        return [i for i, missing in enumerate(pool.map(is_missing, names)) if missing]


def _part(to: Folder, name: str) -> tuple[Shard, list[list[str]]]:
    part = json.loads(to.read(f"parts/{name}.json"))
    return Shard(**part["shard"]), part["refusals"]


def _write_list(to: Folder, listed: pa.Table, counts: np.ndarray) -> None:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, listed.schema) as writer:
        for start, count in zip(np.cumsum(counts) - counts, counts, strict=True):
            writer.write_table(listed.slice(start, count), row_group_size=count)
    to.write("parts/list.parquet", sink.getvalue())


def _made(work: Work, pending: list[int]) -> Iterator[int]:
    """Have shards made; how many records each task has read, as tasks end."""
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # a carrier of it
    with ray.data.DataContext.current(context), receiving():
        numbers = ray.data.from_items([{"number": n} for n in pending], override_num_blocks=len(pending))
        make: Any = _make  # called with the keyword below, which the annotation does not know
        for row in numbers.map(make, fn_kwargs={"work": work}).iter_rows():
            yield row["read"]


def _make(row: dict, work: Work) -> dict:
    with sending():
        made = work.make(row["number"])
    return {"read": made.rows + made.refused}


def _finish(name: str, to: Folder, names: list[str], reports: pa.Table, chunk: int, limit: float) -> Manifest:
    parts = [_part(to, shard) for shard in names]
    made = tuple(shard for shard, _ in parts)
    refusals = [(shard.name, *refusal) for shard, refused in parts for refusal in refused]
    tables = {"refusals.parquet": pa.table(list(zip(*refusals, strict=True)) or [[]] * 4, schema=REFUSALS)}
    to.write("refusals.parquet", shards.pack_table(tables["refusals.parquet"]))
    _judge(refusals, sum(shard.rows for shard in made), limit)
    index = _index(to, made)
    tables |= {"index.parquet": index, "reports.parquet": _counted(reports, index)}
    packed = {table: shards.pack_table(content) for table, content in tables.items()}
    for table, content in packed.items():
        to.write(table, content)
    hashes = {table: hashlib.sha256(content).hexdigest() for table, content in packed.items()}
    options, subjects = json.loads(to.read("parts/options.json")), len(index["subject"].unique())
    manifest = Manifest(name, options, chunk, subjects, len(reports), made, hashes)
    to.write("manifest.json", manifest.json())
    return manifest


def _judge(refusals: list[tuple[str, ...]], kept: int, limit: float) -> None:
    if len(refusals) > limit * (len(refusals) + kept):
        counts = Counter(reason for _, _, reason, _ in refusals)
        listed = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        raise TooManyRefused(
            f"{len(refusals)} of {len(refusals) + kept} records were refused ({listed}), which is more than the share "
            f"of {limit:g} that --refused allows. refusals.parquet in the shard folder says which; "
            "if they are rightly refused, run the job again with a larger share: what is made is kept"
        )


def _index(to: Folder, made: tuple[Shard, ...]) -> pa.Table:
    """A light row per record: what the shards say of it, and where it stands."""

    def light(numbered: tuple[int, Shard]) -> pa.Table:
        number, shard = numbered
        with to.file(shard.name) as stream:
            table = pq.read_table(stream, columns=list(shards.INDEX_COLUMNS))
        place = {"shard": pa.repeat(pa.scalar(number, pa.int32()), shard.rows)}
        place["row"] = pa.array(np.arange(shard.rows), pa.int32())
        place["split"] = pa.repeat(pa.scalar(shard.split), shard.rows)
        return pa.table(place | {column: table[column] for column in table.column_names})

    with ThreadPoolExecutor(4) as pool:
        return pa.concat_tables(pool.map(light, enumerate(made)))


def _counted(reports: pa.Table, index: pa.Table) -> pa.Table:
    """The report table with how many records, and how many training records, have each report."""
    ids, train = np.array(index["report"]), np.array(index["split"]) == "train"
    counts = {"count": ids[ids >= 0], "train": ids[(ids >= 0) & train]}
    columns = {name: pa.array(np.bincount(c, minlength=len(reports)), pa.int32()) for name, c in counts.items()}
    return pa.table({"report_id": reports["report_id"], "text": reports["text"], **columns})
