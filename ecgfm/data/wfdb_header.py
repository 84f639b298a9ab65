"""The text header of a WFDB record: read leniently where publishers differ, refused where a number cannot be trusted.

Publishers write `.mat` behind the record's name, dates in several orders, gains with and without unit or baseline;
the wfdb library rejects some of these. What follows the record line is one line per signal,

    file format[xframe][:skew][+offset] [gain[(baseline)][/unit] [resolution [zero [first [checksum [block [name]]]]]]]

or, for a record of several segments (`name/count` in the record line), one line per segment: its name and length.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from ecgfm.data.quality import Refusal

UNCALIBRATED_GAIN, UNSAID_RATE = 200.0, 250.0  # what the WFDB standard says where a header says nothing

_FILE = re.compile(r"[\w.+-]{1,255}", re.ASCII)  # no path: a signal file lies beside its header
_STORAGE = re.compile(r"(\d{1,3})(?:x(\d{1,6}))?(?::(\d{1,9}))?(?:\+(\d{1,9}))?", re.ASCII)
_NUMBER = r"(?:\d{1,12}(?:\.\d{0,20})?|\.\d{1,20})"
_GAIN = re.compile(rf"({_NUMBER}(?:[eE][+-]?\d{{1,2}})?)(?:\((-?\d{{1,10}})\))?(?:/(\S+))?", re.ASCII)
_RATE = re.compile(rf"({_NUMBER})(?:/-?{_NUMBER}(?:\(-?{_NUMBER}\))?)?", re.ASCII)
_COUNT = re.compile(r"\d{1,12}", re.ASCII)
_CLOCK = re.compile(r"(?:^|\s)(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,6})\d*)?(?=\s|$)", re.ASCII)
_DATE = re.compile(r"(?:^|\s)(\d{1,2})[/-](\d{1,2}|[A-Za-z]{3})[/-](\d{4})(?=\s|$)", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_AGE = re.compile(r"^[^\w\n]*age[^\w\n]+(\d{1,3}(?:\.\d{1,9})?)(?!\S)", re.ASCII | re.IGNORECASE | re.MULTILINE)
_SEX = re.compile(r"(?:^[^\w\n]*|<)sex[^\w\n]+(female|male|f|m)\b", re.ASCII | re.IGNORECASE | re.MULTILINE)


class Channel(NamedTuple):
    """One signal line. A tuple, as a record has twelve and they are made for every record read."""

    file: str
    format: str
    per_frame: int  # samples per frame: this channel's rate is so many times the record's
    skew: int
    offset: int  # bytes, or samples in a FLAC file, before the first frame
    gain: float
    baseline: float
    unit: str
    first: int | None  # the value of the first sample
    checksum: int | None  # of all samples, modulo 65536
    name: str


@dataclass(frozen=True)
class Header:
    rate: float  # frames per second
    length: int | None  # frames; None where the header leaves it to the size of the file
    time: datetime | None
    comments: tuple[str, ...]
    channels: tuple[Channel, ...]
    segments: tuple[tuple[str, int], ...]  # name and length of each; a record has either channels or segments


def parse(text: str) -> Header:
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    comments = tuple(line[1:].strip() for line in lines if line.startswith("#"))
    lines = [line for line in lines if line and line[0] != "#"]
    fields = lines[0].split(None, 4) if lines else []
    if len(fields) < 2 or not _COUNT.fullmatch(fields[1]):
        raise Refusal("unreadable-header", "record line")
    segments = fields[0].partition("/")[2]
    if len(lines) - 1 != _count(segments or fields[1]):
        raise Refusal("unreadable-header", "as many lines as the record line says are not there")
    return Header(
        rate=_rate(fields[2]) if len(fields) > 2 else UNSAID_RATE,
        length=(_count(fields[3]) or None) if len(fields) > 3 else None,
        time=_time(fields[4]) if len(fields) > 4 else None,
        comments=comments,
        channels=() if segments else tuple(map(_channel, lines[1:])),
        segments=tuple(map(_segment, lines[1:])) if segments else (),
    )


def demographics(comments: tuple[str, ...]) -> tuple[float | None, str | None]:
    """Age in years and sex ("F" or "M"), where the comments tell them in one of the publishers' ways."""
    text = "\n".join(comments)
    age, sex = _AGE.search(text), _SEX.search(text)
    return float(age[1]) if age else None, sex[1][0].upper() if sex else None


def _channel(line: str) -> Channel:
    fields = line.split(None, 8)
    if len(fields) < 2 or not _FILE.fullmatch(fields[0]):
        raise Refusal("unreadable-header", "name of a signal file")
    gain, baseline, unit = _scale(fields[2]) if len(fields) > 2 else (UNCALIBRATED_GAIN, None, "mV")
    try:
        numbers = [int(field) for field in fields[3:8]]  # resolution, zero, first, checksum, block
    except ValueError:
        raise Refusal("unreadable-header", "a number in a signal line") from None
    if numbers and not (min(numbers) >= -(1 << 31) and max(numbers) < 1 << 31):
        raise Refusal("unreadable-header", "a number of more than 32 bits")
    if baseline is None:
        baseline = float(numbers[1]) if len(numbers) > 1 else 0.0
    first = numbers[2] if len(numbers) > 2 else None
    checksum = numbers[3] if len(numbers) > 3 else None
    name = fields[8] if len(fields) > 8 else ""
    return Channel(fields[0], *_storage(fields[1]), gain, baseline, unit, first, checksum, name)


@lru_cache(4096)  # the same few tokens stand in every header of a corpus
def _storage(token: str) -> tuple[str, int, int, int]:
    found = _STORAGE.fullmatch(token)
    if not found or found[2] == "0":
        raise Refusal("unreadable-header", "format of a signal")
    return found[1], int(found[2] or 1), int(found[3] or 0), int(found[4] or 0)


@lru_cache(4096)
def _scale(token: str) -> tuple[float, float | None, str]:
    found = _GAIN.fullmatch(token)
    if not found or float(found[1]) == 0:  # the standard reads 0 as "uncalibrated": an amplitude that means nothing
        raise Refusal("unreadable-header", "gain")
    return float(found[1]), float(found[2]) if found[2] else None, found[3] or "mV"


def _rate(token: str) -> float:
    found = _RATE.fullmatch(token)
    if not found:
        raise Refusal("unreadable-header", "sampling rate")
    return float(found[1])


def _count(token: str) -> int:
    if not _COUNT.fullmatch(token):
        raise Refusal("unreadable-header", "a count")
    return int(token)


def _segment(line: str) -> tuple[str, int]:
    name, _, length = line.partition(" ")
    if not _FILE.fullmatch(name):  # "~" is a gap
        raise Refusal("unsupported-format", "a segment that is a gap or lies elsewhere")
    return name, _count(length.strip())


def _time(text: str) -> datetime | None:
    """The start of the recording; a clock that cannot be read costs the time, not the record."""
    date, clock = _DATE.search(text), _CLOCK.search(text)
    if not date or not clock:
        return None
    day, month, year = date.groups()
    name = month.lower()
    hour, minute, second, fraction = clock.groups()
    try:
        number = _MONTHS.index(name) + 1 if name.isalpha() else int(month)
        microsecond = int((fraction or "0").ljust(6, "0"))
        return datetime(int(year), number, int(day), int(hour), int(minute), int(second), microsecond)
    except ValueError:
        return None
