"""Recordings in WFDB form: a text header beside one or several signal files, on a disk or in an object store.

Every header is parsed here (ecgfm.data.wfdb_header), every sample verified (ecgfm.data.wfdb_samples). Reading a
12-lead record of 10 s and checking its quality takes 0.14 ms of one core, where wfdb.rdrecord takes 3 ms to read it.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import groupby

import numpy as np

from ecgfm.data import wfdb_samples
from ecgfm.data.quality import Refusal, lead_order
from ecgfm.data.record import CANONICAL, Signal
from ecgfm.data.storage import Folder
from ecgfm.data.wfdb_header import Channel, Header, demographics, parse
from ecgfm.data.wfdb_samples import NO_SAMPLE, Row

PER_MV = {"mv": 1.0, "uv": 1e3, "\u00b5v": 1e3, "\u03bcv": 1e3, "v": 1e-3}
KINDS = {"pleth": "ppg", "ppg": "ppg", "abp": "abp", "art": "abp", "pap": "pap", "cvp": "cvp", "resp": "resp"}
KINDS |= {"eeg": "eeg", "vx": "vcg", "vy": "vcg", "vz": "vcg"}  # by the first word of a channel's name


@dataclass(frozen=True)
class Recording:
    signals: tuple[Signal, ...]  # the ECG first
    comments: tuple[str, ...]  # as they stand in the header, without their marks
    time: datetime | None
    age: float | None  # years
    sex: str | None  # "F" or "M"


def read(source: Folder, path: str) -> Recording:
    """The record whose header is `path`.hea, or a Refusal. Whether its samples are plausible, quality.check tells."""
    header, rows = decode(source, path)
    age, sex = demographics(header.comments)
    return Recording(_signals(header, rows), header.comments, header.time, age, sex)


def decode(source: Folder, path: str) -> tuple[Header, list[Row]]:
    """The header and the verified samples of each of its channels, whatever they are."""
    header, folder = _header(source, path), path[: path.rfind("/") + 1]
    if not header.segments:
        return header, _rows(source, folder, header)
    names, lengths = zip(*header.segments, strict=True)
    if len(set(names)) < len(names) or header.length not in (None, sum(lengths)):
        raise Refusal("unreadable-header", "segments that do not add up")
    parts = [_header(source, folder + name) for name in names]
    channels = parts[0].channels
    if any(part.rate != header.rate or _meaning(part.channels) != _meaning(channels) for part in parts):
        raise Refusal("unsupported-format", "segments of different channels")
    if [part.length for part in parts] != list(lengths):
        raise Refusal("unreadable-header", "length of a segment")
    rows = [_rows(source, folder, part) for part in parts]
    return replace(header, channels=channels), [np.concatenate(pieces) for pieces in zip(*rows, strict=True)]


def _header(source: Folder, path: str) -> Header:
    return parse(_content(source, f"{path}.hea").decode("utf-8", errors="replace"))


def _rows(source: Folder, folder: str, header: Header) -> list[Row]:
    files = [(name, list(channels)) for name, channels in groupby(header.channels, key=lambda channel: channel.file)]
    if len({name for name, _ in files}) < len(files):
        raise Refusal("unreadable-header", "signals of one file do not stand side by side")
    rows: list[Row] = []
    for name, channels in files:
        rows += wfdb_samples.rows(_content(source, folder + name), channels, header.length)
    return rows


def _content(source: Folder, name: str) -> bytes:
    try:
        return source.read(name)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise Refusal("missing-file", "header" if name.endswith(".hea") else "signal file") from None


def _meaning(channels: tuple[Channel, ...]) -> list[tuple]:
    return [(c.name, c.format, c.per_frame, c.gain, c.baseline, c.unit) for c in channels]


def _signals(header: Header, rows: list[Row]) -> tuple[Signal, ...]:
    """The ECG, its leads in the order of their names; then the other channels by kind, unit and rate.

    A lead with a gap is refused; of another channel, the samples of a gap are the smallest of their type.
    """
    groups: dict[tuple[str, str, int], list[tuple[str, float, float, Row]]] = {}
    for channel, row in zip(header.channels, rows, strict=True):
        kind, name, unit, factor = _sense(channel.name, channel.unit)
        gap = NO_SAMPLE.get(channel.format)
        if gap is not None and row.min() == gap:
            if kind == "ecg":
                raise Refusal("nan-samples", f"format {channel.format}")
            row = np.where(row == gap, np.iinfo(row.dtype).min, row)  # as formats of 16 and 32 bits mark it
        group = groups.setdefault((kind, unit, channel.per_frame), [])
        group.append((name, channel.gain * factor, channel.baseline, row))
    leads = [key for key in groups if key[0] == "ecg"]
    if not leads:
        raise Refusal("missing-lead", "no lead of an ECG")
    if len(leads) > 1:
        raise Refusal("unsupported-format", "leads at several rates")
    keys = [*leads, *(key for key in groups if key[0] != "ecg")]
    return tuple(_signal(kind, unit, header.rate * times, groups[kind, unit, times]) for kind, unit, times in keys)


def _signal(kind: str, unit: str, rate: float, channels: list[tuple[str, float, float, Row]]) -> Signal:
    names, gain, baseline, rows = zip(*channels, strict=True)
    if kind == "ecg":
        order = lead_order(names)
        names, gain, baseline, rows = (tuple(values[i] for i in order) for values in (names, gain, baseline, rows))
    return Signal(kind, names, rate, np.stack(rows), gain, baseline, unit)


@lru_cache(4096)
def _sense(name: str, unit: str) -> tuple[str, str, str, float]:
    """A channel's kind, name, unit and what to multiply its gain with. Leads are canonical, in millivolts.

    A voltage by no known name counts as a lead, so that its record is refused by name.
    """
    per_mv = PER_MV.get(unit.lower())
    lead = CANONICAL.get(name.lower())
    if lead and per_mv is None:
        raise Refusal("unknown-unit", lead)
    kind = "ecg" if lead else KINDS.get(name.lower().partition(" ")[0], "ecg" if per_mv else "other")
    return (kind, lead or name, "mV", per_mv or 1.0) if kind == "ecg" else (kind, name, unit, 1.0)
