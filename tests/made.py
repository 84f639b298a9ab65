"""A corpus made from nothing, small and quick: for tests about what happens to records, not what is in them."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ecgfm import draw
from ecgfm.data import entry as rows
from ecgfm.data.layout import Layout
from ecgfm.data.quality import Refusal
from ecgfm.data.record import LEADS, Record, Signal
from ecgfm.data.sharding import shard
from ecgfm.data.shards import Manifest
from ecgfm.data.storage import Folder

LAYOUT = Layout(rows=40, chunk=8)


@dataclass(frozen=True)
class Corpus:
    records: int = 300
    seconds: float = 6
    rate: int = 100
    first: int = 0
    refuse: int = 29  # every so many records is refused
    die_at: int = -1  # a record at which the reading process kills itself, once
    mark: str = ""  # where it notes that it did
    lost_at: int = -1  # a record whose file cannot be read
    wrong_at: int = -1  # a record at which the reader has a fault

    def entries(self, source: Folder) -> pa.Table:
        number = np.arange(self.first, self.first + self.records)
        subject = (number**0.85).astype(int)  # one to three visits
        reports = [None if n % 17 == 0 else f"report number {int(n**0.5)}" for n in number]
        times = [None if n % 5 == 0 else int(n) * 86_400 for n in number]
        return rows.table(
            {
                "path": [f"records/{n:05}" for n in number],
                "subject": [f"s{s}" for s in subject],
                "report": reports,
                "time": times,
                "age": 20.0 + number % 60,
                "sex": ["F" if s % 2 else "M" for s in subject],
            }
        )

    def read(self, source: Folder, entry: dict) -> Record:
        number = int(entry["path"][-5:])
        if number == self.die_at and not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == self.lost_at:
            raise PermissionError(13, "Permission denied", f"/corpus/{entry['subject']}/{entry['path']}")
        if number == self.wrong_at:
            raise KeyError(entry["path"])
        if number % self.refuse == 7:
            raise Refusal("wrong-checksum", "lead V3")
        seconds = self.seconds + number % 7
        others = (pulse(number, seconds),) if number % 3 else ()
        return rows.record(entry, (ecg(number, seconds, self.rate), *others))


def ecg(number: int, seconds: float, rate: float) -> Signal:
    """Twelve leads that wander, the limb leads in agreement."""
    random = draw.generator("made", number)
    samples = np.cumsum(random.integers(-9, 10, (12, round(seconds * rate))), axis=1)
    one, two = samples[0], samples[1]
    samples[2:6] = two - one, -(one + two) // 2, one - two // 2, two - one // 2
    return Signal("ecg", LEADS, float(rate), samples.astype(np.int16), (200.0,) * 12, (0.0,) * 12)


def pulse(number: int, seconds: float) -> Signal:
    """A channel at 125 Hz that counts its samples. Every eighth record's has a gap."""
    samples = (number % 100 + np.arange(round(seconds * 125)))[None].astype(np.int16)
    if number % 8 == 0:
        samples[0, 60] = np.iinfo(np.int16).min
    return Signal("ppg", ("PPG",), 125.0, samples, (100.0,), (20.0,), "NU")


def make(to: Path | str, corpus: Corpus = Corpus(), layout: Layout = LAYOUT, **options: object) -> tuple[Manifest, int]:
    return shard("made", corpus, Folder("."), Folder(str(to)), layout, **({"limit": 0.2} | options))  # type: ignore[arg-type]
