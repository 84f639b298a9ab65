"""Models that must fail: towers that nobody has trained, and shards with shuffled reports to train others on."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow makes its compute functions when it is imported)

import hashlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int32

from ecgfm import draw
from ecgfm.data import shards
from ecgfm.data.shards import SPLITS, Manifest, Shard
from ecgfm.data.storage import Folder
from ecgfm.embedder import Embedder
from ecgfm.model import saved


def untrained(folder: Folder, seed: int, device: str = "auto") -> Embedder:
    """The towers of a run or an export with weights drawn anew, also of a pretrained text encoder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Embedder(saved.read(folder, trained=False), device)


def shuffle_reports(folder: Folder, to: Folder, seed: int = 0) -> Manifest:
    """The same shards, but that each record has the report of another of its split, drawn at random.

    Every report stays as frequent, in training too, and every signal as it is: only what belongs together is lost.
    """
    if to.exists("manifest.json"):
        raise FileExistsError(f"{to} holds shards already: name a new folder")
    manifest, index = shards.manifest(folder), shards.index(folder)
    report = shuffled(index["report"].to_numpy(), np.array(index["split"]), seed)
    ends = np.cumsum([shard.rows for shard in manifest.shards])
    parts = np.split(report, ends[:-1])
    made = [_rewritten(folder, to, manifest, s, part) for s, part in zip(manifest.shards, parts, strict=True)]
    column = index.schema.get_field_index("report")
    tables = {name: folder.read(name) for name in manifest.tables}
    tables["index.parquet"] = shards.pack_table(index.set_column(column, index.schema.field(column), pa.array(report)))
    for name, content in tables.items():
        to.write(name, content)
    result = replace(
        manifest,
        options=f"{manifest.options} reports shuffled, seed {seed}",
        shards=tuple(made),
        tables={name: hashlib.sha256(content).hexdigest() for name, content in tables.items()},
    )
    to.write("manifest.json", result.json())
    return result


def shuffled(report: Int32[np.ndarray, "n"], split: np.ndarray, seed: int) -> Int32[np.ndarray, "n"]:
    """Dealt anew among the records of each split."""
    result = report.copy()
    for name in SPLITS:
        here = np.flatnonzero(split == name)
        result[here] = report[draw.generator("shuffled reports", name, seed).permutation(here)]
    return result


def _rewritten(folder: Folder, to: Folder, manifest: Manifest, shard: Shard, report: Int32[np.ndarray, "_"]) -> Shard:
    table = shards.read(folder, shard.name, range(-(-shard.rows // manifest.chunk)))
    rows = table.set_column(table.schema.get_field_index("report"), shards.SCHEMA.field("report"), pa.array(report))
    content = shards.pack(rows.to_pylist(), manifest.chunk)
    to.write(shard.name, content)
    return replace(shard, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
