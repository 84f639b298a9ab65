"""Shards with labels, made without Ray: synthetic recordings whose findings stand in the shards and in a table.

And towers to examine on them.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ecgfm.data import shards
from ecgfm.data.record import LEADS, Record, Signal
from ecgfm.data.shards import SPLITS, Manifest, Shard
from ecgfm.data.storage import Folder
from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.data.synthetic.people import visits
from ecgfm.data.synthetic.recording import record
from ecgfm.data.synthetic.visit import Visit
from ecgfm.embedder import Embedder
from ecgfm.model import saved
from ecgfm.model.aggregate import Aggregate
from ecgfm.model.config import SIZES, TowerConfig
from ecgfm.model.pool import Project
from ecgfm.model.saved import Card, Saved
from ecgfm.model.text import TextConfig
from ecgfm.model.towers import Towers
from ecgfm.run import Frame

RATE, GAIN, CHUNK = 100, 200, 16


class Made(NamedTuple):
    shards: str
    table: str
    visits: dict[str, list[Visit]]  # by split, in the order of the rows
    records: dict[str, list[Record]]  # and as they were written


def make(folder: Path) -> Made:
    """330 recordings of 100 Hz: two thirds of the subjects to learn from, one sixth each to choose and to examine."""
    split = lambda visit: {0: "test", 1: "valid"}.get(visit.subject.index % 6, "train")  # noqa: E731
    drawn = list(visits(0, 330))
    by_split = {name: [visit for visit in drawn if split(visit) == name] for name in SPLITS}
    records = {name: [record_of(visit) for visit in found] for name, found in by_split.items()}
    write(Folder(str(folder)), records)
    truths = [
        {"path": path(v)} | v.present | {f"{f}_severity": np.float32(s) for f, s in v.severity.items()} for v in drawn
    ]
    pq.write_table(pa.Table.from_pylist(truths), folder / "factors.parquet")
    return Made(str(folder), str(folder / "factors.parquet"), by_split, records)


def path(visit: Visit) -> str:
    return f"{visit.subject.index}/{visit.number}"


def record_of(visit: Visit) -> Record:
    samples = record(visit, RATE).digital(GAIN)
    signal = Signal("ecg", LEADS, float(RATE), samples, (float(GAIN),) * 12, (0.0,) * 12)
    names = tuple(finding for finding in FINDINGS if visit.present[finding])
    return Record(
        path(visit), str(visit.subject.index), (signal,), report=". ".join(names) or None, labels={"findings": names}
    )


def write(folder: Folder, records: dict[str, Sequence[Record]], corpus: str = "made-up") -> None:
    """One shard per split."""
    texts = sorted({r.report for found in records.values() for r in found if r.report})
    made, rows = [], []
    for number, (split, found) in enumerate(records.items()):
        packed = [shards.row(r, int(r.subject), texts.index(r.report) if r.report else -1) for r in found]
        content = shards.pack(packed, CHUNK)
        made.append(Shard(f"{split}-00000.parquet", split, len(found), 0, len(content), digest(content)))
        folder.write(made[-1].name, content)
        light = [{name: row[name] for name in shards.INDEX_COLUMNS} for row in packed]
        rows += [{"shard": number, "row": i, "split": split} | row for i, row in enumerate(light)]
    schema = pa.schema([("shard", pa.int32()), ("row", pa.int32()), ("split", pa.string())])
    for name in shards.INDEX_COLUMNS:
        schema = schema.append(shards.SCHEMA.field(name))
    tables = {"index.parquet": pa.Table.from_pylist(rows, schema=schema), "reports.parquet": pa.table({"text": texts})}
    packed_tables = {name: shards.pack_table(table) for name, table in tables.items()}
    for name, content in packed_tables.items():
        folder.write(name, content)
    subjects = len({row["subject"] for row in rows})
    hashes = {name: digest(content) for name, content in packed_tables.items()}
    folder.write("manifest.json", Manifest(corpus, "", CHUNK, subjects, len(texts), tuple(made), hashes).json())


def digest(content: bytes | pa.Buffer) -> str:
    return hashlib.sha256(content).hexdigest()


def towers(folder: Path, text_model: str) -> str:
    """A folder with towers whose weights are random, which see 4 s at 100 Hz."""
    torch.manual_seed(2410)
    config = TowerConfig(heads=SIZES["tiny"], text=TextConfig(text_model), pools={"summary": Project("mean")})
    saved.write(Folder(str(folder)), Card(config, Frame(RATE, 4.0), "summary", True, 32, "made up", 7), Towers(config))
    return str(folder)


def with_pulse(frame: Frame) -> Embedder:
    """Towers whose weights are random, which read a pulse wave beside the ECG."""
    torch.manual_seed(2410)
    config = TowerConfig(
        heads=SIZES["tiny"], text=None, others=("ppg",), pools={"crossl": Aggregate("whole", ("ppg",))}
    )
    return Embedder(Saved(Card(config, frame, "crossl", False, 32, "made up", 7), Towers(config).eval(), None), "cpu")
