"""Size and decoding speed of the forms a signal could be stored in, on real recordings:

    python tools/bench_codec.py ../shared/data

The folder is laid out as tests/conftest.py names it. Each form is a parquet file with a row per record and a row group
per 64, read group by group on one core; every form is checked to be lossless.
"""

import io
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ecgfm.data import codec, wfdb
from ecgfm.data.storage import Folder

REPEATS = 5
Records = list[np.ndarray]
Form = tuple[Callable[[Records], bytes], Callable[[bytes], Records]]


def write(column: pa.Array, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"samples": column}), sink, row_group_size=64, **options)  # type: ignore[arg-type]
    return sink.getvalue()


def read(content: bytes) -> list[pa.Array]:
    parquet = pq.ParquetFile(pa.BufferReader(content))
    groups = (parquet.read_row_group(i, use_threads=False) for i in range(parquet.num_row_groups))
    return [group["samples"].chunk(0) for group in groups]


def blobs(encode: Callable[[np.ndarray], bytes], decode: Callable[[bytes], np.ndarray]) -> Form:
    """A binary column, compressed by its own codec."""
    return (
        lambda records: write(pa.array(map(encode, records)), compression="none", use_dictionary=False),
        lambda content: [decode(blob.as_py()) for group in read(content) for blob in group],
    )


def plain(encoding: str | None, compression: str) -> Form:
    """A list of 16-bit numbers that any tool reads."""
    options = {"compression": compression, "use_dictionary": encoding is None}
    if encoding:
        options["column_encoding"] = {"samples.list.element": encoding}

    def decode(content: bytes) -> Records:
        rows = []
        for group in read(content):
            flat, ends = group.flatten().to_numpy(), group.offsets.to_numpy()
            rows += [flat[a:b].reshape(12, -1) for a, b in pairwise(ends)]
        return rows

    return lambda records: write(pa.array([x.ravel() for x in records], pa.list_(pa.int16())), **options), decode


FORMS: dict[str, Form] = {
    codec.NAME: blobs(lambda x: codec.encode(x, limb_leads=True), codec.decode),
    "the same without limb leads": blobs(codec.encode, codec.decode),
    "parquet, delta, zstd": plain("DELTA_BINARY_PACKED", "zstd"),
    "parquet, byte split, zstd": plain("BYTE_STREAM_SPLIT", "zstd"),
    "parquet as it comes": plain(None, "snappy"),
}


def sources(folder: Path) -> dict[str, Records]:
    cinc, ptb = Folder(str(folder / "cinc-2021-form" / "cinc2021")), Folder(str(folder / "ptb-xl" / "records500"))
    names = [*ptb.names(suffix=".hea")][:100]
    found = {"PTB-XL": [wfdb.read(ptb, name[:-4]).signals[0].samples for name in names]}
    for source, prefix in (("Georgia", "E"), ("Chapman", "JS")):
        names = [name for name in cinc.names(suffix=".hea") if name.startswith(prefix)]
        found[source] = [wfdb.read(cinc, name[:-4]).signals[0].samples for name in names]
    return found


def main() -> None:
    print(f"{'form':30}{'source':10}{'raw / stored':>14}{'decode, ms':>12}{'encode, ms':>12}")
    for source, records in sources(Path(sys.argv[1])).items():
        for form, (encode, decode) in FORMS.items():
            encoding, stored = timed(lambda f=encode, x=records: f(x))
            decoding, back = timed(lambda f=decode, x=stored: f(x))
            assert all((x == y).all() for x, y in zip(records, back, strict=True)), form
            ratio, each = sum(x.nbytes for x in records) / len(stored), 1000 / len(records)
            print(f"{form:30}{source:10}{ratio:14.2f}{decoding * each:12.3f}{encoding * each:12.3f}")


T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """The median CPU time of some repeats, and what came of the last."""
    times, results = [], []
    for _ in range(REPEATS):
        began = time.process_time()
        results[:] = [work()]
        times.append(time.process_time() - began)
    return float(np.median(times)), results[0]


if __name__ == "__main__":
    main()
