"""A task: the records of a shard folder, and the labels by which a model is examined on them.

Labels stand in the shards, in sets; or, for corpora that have none, in a parquet table with a column `path` and a
column of yes and no per name: the synthetic corpus keeps its truths so, in factors.parquet. Where such a table also
tells how severe each finding is, in columns <name>_severity, it is known how well an oracle would do.

    ptb-xl/super            the set `super` of the corpus ptb-xl
    mimic-iv-ecg/factors    the table factors.parquet, for the corpus mimic-iv-ecg

A record of which a set says nothing is left out, but where silence means none of these (NORMAL_HAS_NONE).
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow makes its compute functions when it is imported)

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Float32, Int64

from ecgfm.batch import record_id
from ecgfm.data import shards
from ecgfm.data.shards import SPLITS, Manifest
from ecgfm.data.storage import Folder

NORMAL_HAS_NONE = ("code-15", "code-test")  # six findings; a normal recording has none of them
_SEVERITY = "_severity"


@dataclass(frozen=True)
class Task:
    shards: str
    """A shard folder: a path or an object-store URI."""
    labels: str
    """A label set of the shards, or the path or URI of a parquet table."""
    least: int = 10
    """A label is scored where at least so many test records have it, and as many have it not."""

    @cached_property
    def folder(self) -> Folder:
        return Folder(self.shards)

    @cached_property
    def manifest(self) -> Manifest:
        return shards.manifest(self.folder)

    @property
    def has_table(self) -> bool:
        return self.labels.endswith(".parquet")

    @property
    def set(self) -> str:
        return PurePosixPath(self.labels).stem if self.has_table else self.labels

    @property
    def name(self) -> str:
        return f"{self.manifest.corpus}/{self.set}"


@dataclass(frozen=True)
class Cohort:
    """The labelled records of a split."""

    record: Int64[np.ndarray, "n"]  # record_id(0, shard, row)
    subject: Int64[np.ndarray, "n"]
    labels: Bool[np.ndarray, "n k"]
    severity: Float32[np.ndarray, "n k"] | None = None  # what an oracle would know, where a table tells it

    def __len__(self) -> int:
        return len(self.record)

    def of(self, columns: Sequence[int]) -> "Cohort":
        """With these labels only."""
        severity = None if self.severity is None else self.severity[:, columns]
        return Cohort(self.record, self.subject, self.labels[:, columns], severity)


@dataclass(frozen=True)
class Examined:
    """A task, read."""

    task: Task
    names: tuple[str, ...]  # the labels that are scored
    splits: Mapping[str, Cohort]
    dropped: Mapping[str, str]  # those that cannot be, and why


def find(uris: Sequence[str], asked: Sequence[str], least: int) -> list[Task]:
    """Tasks by "corpus/set", "corpus" for all of its sets, or a table's path; without any, all sets of all shards.

    Of several shard folders a table is of the first; "corpus=path" says of which instead.
    """
    folders = {shards.manifest(Folder(uri)).corpus: uri for uri in uris}
    if len(folders) < len(uris):
        raise ValueError(
            f"{len(uris)} shard folders hold {len(folders)} corpora ({', '.join(folders)}): give each once"
        )
    return [task for name in asked or folders for task in _named(name, folders, least)]


def _named(name: str, folders: Mapping[str, str], least: int) -> list[Task]:
    corpus, _, labels = name.partition("=") if name.endswith(".parquet") and "=" in name else name.partition("/")
    if name.endswith(".parquet") and corpus not in folders:
        corpus, labels = next(iter(folders)), name
    if corpus not in folders:
        near = get_close_matches(corpus, folders, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(folders)}"
        raise ValueError(f"{name}: no shard folder is of the corpus {corpus!r}; {hint}")
    sets = [labels] if labels else known_sets(Folder(folders[corpus]))
    if not sets:
        raise ValueError(f"the shards of {corpus} hold no labels: name a parquet table of them among the tasks")
    return [Task(folders[corpus], labels, least) for labels in sets]


def read(task: Task) -> Examined:
    names, splits = _of_table(task) if task.has_table else _of_set(task)
    check_subjects(splits)
    dropped = {name: why for i, name in enumerate(names) if (why := _too_rare(splits, i, task.least))}
    kept = [i for i, name in enumerate(names) if name not in dropped]
    if not kept:
        reasons = "; ".join(f"{name}: {why}" for name, why in dropped.items())
        raise ValueError(
            f"{task.name}: no label can be scored ({reasons}): more records are needed, or a smaller least"
        )
    return Examined(task, tuple(names[i] for i in kept), {split: c.of(kept) for split, c in splits.items()}, dropped)


def known_sets(folder: Folder) -> list[str]:
    """The label sets of a shard folder, as its first records know them."""
    first = shards.manifest(folder).shards[0].name
    listed = shards.read(folder, first, [0], ["labels"])["labels"].to_pylist()
    return sorted({name for labels in listed for name, names in labels or ()})


def check_subjects(splits: Mapping[str, Cohort]) -> None:
    """No subject stands in two splits."""
    subjects = np.concatenate([np.unique(cohort.subject) for cohort in splits.values()])
    shared = len(subjects) - len(np.unique(subjects))
    if shared:
        raise ValueError(
            f"{shared} subjects stand in more than one split: a model would be examined on subjects that it was "
            "trained on. Make the shards again with jobs/shard.py"
        )


def _too_rare(splits: Mapping[str, Cohort], label: int, least: int) -> str:
    for split, needed in (("test", least), ("train", 1), ("valid", 1)):
        has, all_ = int(splits[split].labels[:, label].sum()), len(splits[split])
        if min(has, all_ - has) < needed:
            return f"{has} of {all_} {split} records have it"
    return ""


def _of_set(task: Task) -> tuple[list[str], dict[str, Cohort]]:
    found = {split: _column(task, split, "labels") for split in SPLITS}
    said = {split: [dict(labels or ()).get(task.set) for labels in c.to_pylist()] for split, (*_, c) in found.items()}
    names = sorted({name for lists in said.values() for listed in lists for name in listed or ()})
    if not names:
        sets = ", ".join(known_sets(task.folder)) or "none: name a table of labels"
        raise ValueError(f"{task.folder} has no label set {task.set!r}; its sets: {sets}")
    silent = task.manifest.corpus in NORMAL_HAS_NONE
    splits = {}
    for split, (record, subject, _) in found.items():
        matrix = np.array([[name in (listed or ()) for name in names] for listed in said[split]], bool)
        matrix = matrix.reshape(len(record), len(names))
        told = matrix.any(1) | (silent & np.array([listed is not None for listed in said[split]], bool))
        splits[split] = Cohort(record[told], subject[told], matrix[told])
    return names, splits


def _of_table(task: Task) -> tuple[list[str], dict[str, Cohort]]:
    folder, _, file = task.labels.rpartition("/")
    with Folder(folder or ".").file(file) as stream:
        table = pq.read_table(stream)
    names = [f.name for f in table.schema if pa.types.is_boolean(f.type)]
    if "path" not in table.column_names or not names:
        raise ValueError(
            f"{task.labels} is no table of labels: it needs a column path, and one of yes and no per label"
        )
    graded = all(name + _SEVERITY in table.column_names for name in names)
    splits = {}
    for split in SPLITS:
        record, subject, path = _column(task, split, "path")
        row = pc.index_in(path, value_set=table["path"])
        told = row.is_valid().to_numpy(zero_copy_only=False)
        rows = table.take(row.drop_null())
        labels = np.stack([rows[name].to_numpy() for name in names], axis=1).astype(bool)
        severity = [rows[name + _SEVERITY].to_numpy() for name in names] if graded else None
        known = None if severity is None else np.stack(severity, axis=1).astype(np.float32)
        splits[split] = Cohort(record[told], subject[told], labels, known)
    return names, splits


def _column(task: Task, split: str, name: str) -> tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "n"], pa.Array]:
    """Record, subject and one column more of every record of a split."""
    records, tables = [], []
    for number, shard in enumerate(task.manifest.shards):
        if shard.split == split and shard.rows:
            chunks = range(-(-shard.rows // task.manifest.chunk))
            tables.append(shards.read(task.folder, shard.name, chunks, ["subject", name]))
            records.append(record_id(0, number, 0) + np.arange(shard.rows))
    if not tables:
        raise ValueError(f"{task.folder} has no {split} records: an examination needs train, valid and test")
    table = pa.concat_tables(tables)
    return np.concatenate(records), table["subject"].to_numpy().astype(np.int64), table[name].combine_chunks()
