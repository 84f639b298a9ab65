"""Shards: parquet files of recordings, and the manifest that says what they are.

A shard folder holds

    manifest.json      written last: corpus, codec, and per shard its split, rows, refusals, size and checksum
    train-00000.parquet ...   every record of a subject lies in one shard, the records of a shard in random order
    index.parquet      one light row per record, in the order of the shards: all that is known but signals and labels
    reports.parquet    every distinct report once: report_id, text, count of records, count of training records
    refusals.parquet   what was not taken: shard, path, reason, detail

Any tool reads them; only the samples are in a form of ours (ecgfm.data.codec).
"""

import hashlib
import io
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecgfm.data import codec
from ecgfm.data.record import LEADS, Record, Signal
from ecgfm.data.storage import Folder, StoreError

FORMAT = "ecgfm-shards-1"
SPLITS = ("train", "valid", "test")

_CHANNELS = pa.struct(
    [
        pa.field("kind", pa.string()),
        pa.field("names", pa.list_(pa.string())),
        pa.field("rate", pa.float64()),
        pa.field("gain", pa.list_(pa.float64())),
        pa.field("baseline", pa.list_(pa.float64())),
        pa.field("unit", pa.string()),
        pa.field("samples", pa.binary()),
    ]
)
ECG_COLUMNS = ("samples", "leads", "rate", "gain", "baseline")
INDEX_COLUMNS = ("subject", "report", "leads", "rate", "length", "time", "age", "sex", "fold", "content")
SCHEMA = pa.schema(
    [
        pa.field("samples", pa.binary(), nullable=False),  # the ECG, as ecgfm.data.codec packs it
        pa.field("leads", pa.uint16(), nullable=False),  # bit i is set when LEADS[i] was recorded
        pa.field("rate", pa.float64(), nullable=False),  # Hz
        pa.field("length", pa.int32(), nullable=False),  # samples per lead
        pa.field("gain", pa.list_(pa.float64()), nullable=False),  # mV = (sample - baseline) / gain
        pa.field("baseline", pa.list_(pa.float64()), nullable=False),
        pa.field("others", pa.list_(_CHANNELS)),  # channels of another kind, each with its own rate
        pa.field("subject", pa.int32(), nullable=False),
        pa.field("report", pa.int32(), nullable=False),  # report_id, -1 for none
        pa.field("time", pa.timestamp("s")),
        pa.field("age", pa.float32()),
        pa.field("sex", pa.string()),
        pa.field("fold", pa.int32()),
        pa.field("labels", pa.map_(pa.string(), pa.list_(pa.string()))),
        pa.field("measurements", pa.map_(pa.string(), pa.float32())),
        pa.field("path", pa.string()),
        pa.field("content", pa.int64(), nullable=False),  # equal for equal signals, whatever corpus they stand in
    ]
)


@dataclass(frozen=True)
class Shard:
    name: str
    split: str
    rows: int
    refused: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    corpus: str
    options: str  # of the corpus and of the job, as they were given
    chunk: int  # records per row group: what a reader reads at once
    subjects: int
    reports: int  # distinct
    shards: tuple[Shard, ...]
    tables: dict[str, str]  # sha256 of the tables beside the shards
    codec: str = codec.NAME
    format: str = FORMAT

    def json(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @property
    def records(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.json()).hexdigest()


def manifest(folder: Folder) -> Manifest:
    if not folder.exists("manifest.json"):
        raise FileNotFoundError(
            f"{folder} holds no manifest.json: it is no shard folder, or jobs/shard.py has not finished there; "
            "run that job again and it goes on where it stopped"
        )
    found = json.loads(folder.read("manifest.json"))
    if (found["format"], found["codec"]) != (FORMAT, codec.NAME):
        raise ValueError(
            f"{folder} is written as {found['format']} with codec {found['codec']}; this version of ecgfm reads "
            f"{FORMAT} with {codec.NAME}: make the shards again with jobs/shard.py"
        )
    return Manifest(**{**found, "shards": tuple(Shard(**shard) for shard in found["shards"])})


def row(record: Record, subject: int, report: int) -> dict:
    """A record as a row of SCHEMA."""
    ecg = record.ecg
    return {
        **_channels(ecg),
        "leads": sum(1 << LEADS.index(name) for name in ecg.names),
        "length": ecg.samples.shape[1],
        "others": [_channels(s) | {"kind": s.kind, "names": s.names, "unit": s.unit} for s in record.signals[1:]],
        "subject": subject,
        "report": report,
        "time": record.time,
        "age": record.age,
        "sex": record.sex,
        "fold": record.fold,
        "labels": list(record.labels.items()),
        "measurements": list(record.measurements.items()),
        "path": record.path,
        "content": content(ecg),
    }


def _channels(signal: Signal) -> dict:
    return {
        "samples": codec.encode(signal.samples, limb_leads=signal.names[:6] == LEADS[:6]),
        "rate": signal.rate,
        "gain": signal.gain,
        "baseline": signal.baseline,
    }


def content(ecg: Signal) -> int:
    """A hash of lead II (or the first lead) in microvolts: what finds one recording in two corpora at one rate."""
    channel = ecg.names.index("II") if "II" in ecg.names else 0
    some = ecg.samples[channel, ::5]  # 1,000 of 5,000 tell as much
    millivolts = (some - ecg.baseline[channel]) / ecg.gain[channel]
    microvolts = np.round(millivolts * 1000).astype(np.int32)
    return int.from_bytes(hashlib.blake2b(microvolts.tobytes(), digest_size=8).digest(), "little", signed=True)


def pack(rows: Sequence[dict], chunk: int) -> bytes:
    """A shard's bytes: a function of its records alone. The samples are compressed already."""
    sink = io.BytesIO()
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    pq.write_table(table, sink, row_group_size=chunk, compression="none", use_dictionary=False, write_statistics=False)
    return sink.getvalue()


def pack_table(content: pa.Table) -> bytes:
    """The bytes of a table that stands beside the shards."""
    sink = io.BytesIO()
    pq.write_table(content, sink, compression="zstd")
    return sink.getvalue()


@lru_cache(maxsize=128)
def _open(folder: Folder, name: str, thread: int) -> pq.ParquetFile:
    """An open shard, for one thread: two that read one ParquetFile at once lose each other's buffers."""
    if folder.is_local:
        return pq.ParquetFile(folder.path(name), memory_map=True, pre_buffer=False)
    return pq.ParquetFile(folder.file(name), pre_buffer=True)


def read(folder: Folder, name: str, chunks: Iterable[int], columns: Sequence[str] | None = None) -> pa.Table:
    """Row groups of one shard."""
    try:
        shard = _open(folder, name, threading.get_ident())
        return shard.read_row_groups(list(chunks), columns=columns and list(columns), use_threads=False)
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{folder}/{name} cannot be read ({str(error).partition(chr(10))[0]}): if `ecgfm verify {folder}` finds it "
            "damaged, jobs/shard.py --repair makes it again"
        ) from error


def table(folder: Folder, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """One of the tables beside the shards."""
    with folder.file(name) as stream:
        return pq.read_table(stream, columns=columns and list(columns))


def index(folder: Folder, columns: Sequence[str] | None = None) -> pa.Table:
    return table(folder, "index.parquet", columns)


def astray(index: pa.Table) -> pa.Table:
    """The rows of an index whose recordings stand in more than one split, copies side by side.

    Subjects stand in one split each, so these are copies under the names of several.
    """
    splits = index.group_by("content").aggregate([("split", "count_distinct")])
    several = splits.filter(pc.field("split_count_distinct") > 1)["content"].combine_chunks()
    return index.filter(pc.field("content").isin(several)).sort_by("content")


def signal(row: dict) -> Signal:
    """The ECG of a row with ECG_COLUMNS."""
    return Signal(
        kind="ecg",
        names=tuple(lead for i, lead in enumerate(LEADS) if row["leads"] >> i & 1),
        rate=row["rate"],
        samples=codec.decode(row["samples"]),
        gain=tuple(row["gain"]),
        baseline=tuple(row["baseline"]),
    )


def other(part: dict) -> Signal:
    """Channels of another kind, from one part of a row's `others`."""
    return Signal(
        kind=part["kind"],
        names=tuple(part["names"]),
        rate=part["rate"],
        samples=codec.decode(part["samples"]),
        gain=tuple(part["gain"]),
        baseline=tuple(part["baseline"]),
        unit=part["unit"],
    )


def channels(row: dict, kind: str) -> Signal | None:
    """The channels of a kind in a row with `others`; None where it has none, or has them with a gap.

    A gap is looked for here as only the ECG was checked when the record was stored.
    """
    for found in (other(part) for part in row["others"] or () if part["kind"] == kind):
        samples, dtype = found.samples, found.samples.dtype
        return found if (np.isfinite(samples) if dtype.kind == "f" else samples > np.iinfo(dtype).min).all() else None
    return None


def record(row: dict) -> Record:
    """A whole row back as a record. The subject is the opaque index, and the report its number: both as text."""
    return Record(
        path=row["path"],
        subject=str(row["subject"]),
        signals=(signal(row), *map(other, row["others"] or ())),
        time=row["time"],
        age=row["age"],
        sex=row["sex"],
        fold=row["fold"],
        labels={name: tuple(values) for name, values in row["labels"] or ()},
        measurements=dict(row["measurements"] or ()),
    )


def damaged(folder: Folder, expected: Mapping[str, str]) -> list[str]:
    """Of these files (name -> sha256), those that are missing, cannot be read or are not as they were written."""
    return [name for name, sha256 in expected.items() if not _is_whole(folder, name, sha256)]


def _is_whole(folder: Folder, name: str, sha256: str) -> bool:
    try:
        return folder.exists(name) and hashlib.sha256(folder.read(name)).hexdigest() == sha256
    except StoreError:
        raise
    except OSError:
        return False
