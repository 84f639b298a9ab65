"""How fast recordings are read, against what the field uses today: side by side, medians of interleaved repeats.

    python tools/bench_data.py            a synthetic corpus of 4,500 records of 12 leads, 10 s, 500 Hz is made for it

Rates are records per second of wall time on this machine; CPU time is that of all processes that took part. Compare the
ratios: absolute numbers belong to the machine.
"""

import logging
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import ray
import scipy.io
import torch
import wfdb as wfdb_library
from torch.utils.data import DataLoader, Dataset

from ecgfm.data import quality, reader, shards, stream, synthetic
from ecgfm.data.layout import Layout
from ecgfm.data.sharding import shard
from ecgfm.data.sources.mimic_iv_ecg import Corpus
from ecgfm.data.storage import Folder
from ecgfm.run import Frame

RECORDS, BATCH, REPEATS = 4500, 128, 3
PASS = 33  # batches of a pass: nearly all records once
H100 = 2630  # records a second that one takes at 40 % of its peak


class Wfdb(Dataset):
    """A file per record, read by the wfdb library: what MERL and MELP do."""

    def __init__(self, paths: list[str]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.from_numpy(physical(self.paths[i]).T.astype(np.float32))


class Mat(Wfdb):
    """A .mat of float64 per record: what fairseq-signals and D-BETA do."""

    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.from_numpy(scipy.io.loadmat(self.paths[i] + ".mat")["feats"].astype(np.float32))


def evict(folder: Path) -> None:
    """Out of the page cache with every file, as they are when a corpus larger than memory is passed through."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def convert(source: Folder, entries: list[dict]) -> None:
    corpus = Corpus()
    for entry in entries:
        try:
            record = corpus.read(source, entry)
            quality.check(record)
        except quality.Refusal:
            continue
        shards.row(record, 0, 0)


def rate(work: Callable[[], Iterable | None], records: int) -> tuple[float, float]:
    """Records per second of wall time, CPU seconds per record."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    for _ in work() or ():
        pass
    return records / (time.perf_counter() - wall), (cpu_seconds() - cpu) / records


def cpu_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def side_by_side(title: str, records: int, ways: dict[str, Callable[[], Iterable | None]], cold: Path | None) -> None:
    """The ways in turn, several times; with `cold`, its files are not in memory when a way begins."""
    rates = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, work in ways.items():
            if cold:
                evict(cold)
            rates[name].append(rate(work, records))
    median = {name: tuple(np.median(np.array(seen), axis=0)) for name, seen in rates.items()}
    first = next(iter(median.values()))[0]
    print(f"\n{title}")
    for name, (speed, cpu) in median.items():
        print(f"  {name:44}{speed:10.0f} records/s{1000 * cpu:9.3f} CPU ms/record{first / speed:9.1f}x")


def ray_stream(opened: reader.Reader, batches: int) -> None:
    """The Ray stream against the twin in the steady state, and the time to a first batch."""
    began = time.perf_counter()
    part = stream.dataset(opened, batches).streaming_split(1, equal=True)[0]
    seen = stream.read(part, opened, batches)
    next(seen)
    first = time.perf_counter() - began
    speeds = {"Ray": steady(seen, batches), "twin": steady(reader.read(opened, batches, threads=2), batches)}
    began = time.perf_counter()
    next(reader.read(opened, batches, threads=2))
    print(f"\nstream of {batches} batches of {BATCH}, after a quarter of them")
    print(f"  Ray Data   {speeds['Ray']:8.0f} records/s, first batch after {first:.1f} s")
    print(f"  in process {speeds['twin']:8.0f} records/s, first batch after {time.perf_counter() - began:.2f} s")
    print(f"  Ray / in process: {speeds['Ray'] / speeds['twin']:.2f}")


def physical(path: str) -> np.ndarray:
    """[time, lead], by the wfdb library."""
    signal: np.ndarray = wfdb_library.rdrecord(path).p_signal  # pyright: ignore  (of one segment it is there)
    return signal


def steady(batches: Iterator, count: int) -> float:
    seen, began = 0, time.perf_counter()
    for seen, _ in enumerate(batches):
        if seen == count // 4:
            began = time.perf_counter()
    return (seen - count // 4) * BATCH / (time.perf_counter() - began)


def start_ray() -> None:
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def main() -> None:
    start_ray()
    with tempfile.TemporaryDirectory() as folder:
        tree, made = Path(folder) / "tree", Path(folder) / "shards"
        synthetic.write(tree, records=RECORDS)
        source = Folder(str(tree))
        entries = Corpus().entries(source).to_pylist()
        paths = [str(tree / entry["path"]) for entry in entries]
        some = paths[:1000]
        shard("mimic-iv-ecg", Corpus(), source, Folder(str(made)), Layout(rows=256, valid=0, test=0), limit=0.2)
        ray.shutdown()  # its processes would take their share of every measurement
        opened = reader.open_reader([str(made)], "train", BATCH, Frame(), window=32)  # blocks of 512 records
        once = reader.open_reader([str(made)], "train", BATCH, Frame(), window=PASS // 3)
        for path in paths[: PASS * BATCH]:
            scipy.io.savemat(path + ".mat", {"feats": physical(path).T})

        def loader(data: Dataset) -> Callable[[], Iterable]:
            return lambda: DataLoader(data, BATCH, num_workers=2)

        side_by_side(
            "conversion, one core: read, check and encode, against reading alone",
            len(some),
            {
                "ecgfm": lambda: convert(source, entries[:1000]),
                "wfdb.rdrecord": lambda: [None for path in some if not wfdb_library.rdrecord(path, physical=False)],
            },
            cold=None,
        )
        passes = {
            "ecgfm, in process, int16": lambda: (b for b, _ in reader.read(once, PASS, threads=2)),
            "DataLoader on .mat, float64 -> float32": loader(Mat(paths[: PASS * BATCH])),
            "DataLoader on wfdb -> float32": loader(Wfdb(paths[: PASS * BATCH])),
        }
        title = "one pass, two threads or two workers"
        side_by_side(f"{title}, files on disk: the first", PASS * BATCH, passes, cold=Path(folder))
        side_by_side(f"{title}, files in memory: any other, where the corpus fits", PASS * BATCH, passes, cold=None)
        start_ray()
        ray_stream(opened, 512)
        ray.shutdown()
        _, cpu = rate(lambda: reader.read(opened, 96, threads=1), 96 * BATCH)
        print(f"\ncores to feed one H100 at {H100} records/s: {cpu * H100:.1f} ({1000 * cpu:.3f} CPU ms/record)")


if __name__ == "__main__":
    main()
