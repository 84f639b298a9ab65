"""The samples in a WFDB signal file, verified against what its header says of them.

Formats that are arrays of integers are read as such. The packed and compressed ones go to the wfdb library, under a
header that is written for it here: it cannot read a header differently from us, nor a file that is not the record's.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from ecgfm.data.quality import Refusal
from ecgfm.data.wfdb_header import Channel

Row = Integer[np.ndarray, " _time"]  # channels of one record may differ in rate, and so in length
Rows = Integer[np.ndarray, "channel time"]

ARRAYS = {"16": "<i2", "61": ">i2", "32": "<i4"}
WIDE = ("8", "24", "524")  # the others that may need more than 16 bits; format 8 stores differences
FLAC = ("508", "516", "524")
MOST_FLAC = 1 << 28  # a day of 12 leads at 250 Hz, 1 GB decoded: a file that claims to hold more is not believed
# So many bytes hold so many samples.
BLOCKS = {"16": (2, 1), "61": (2, 1), "32": (4, 1), "8": (1, 1), "80": (1, 1), "160": (2, 1), "24": (3, 1)}
BLOCKS |= {"212": (3, 2), "310": (4, 3), "311": (4, 3)}
# The value that stands for no sample. Formats of 16 and 32 bits use their type's smallest, format 8 has none.
NO_SAMPLE = {"80": -(2**7), "508": -(2**7), "310": -(2**9), "311": -(2**9), "212": -(2**11)}
NO_SAMPLE |= {"24": -(2**23), "524": -(2**23)}


def rows(content: bytes, channels: Sequence[Channel], declared: int | None) -> list[Row]:
    """The samples of each channel of one file, as int16, or int32 where a format needs it."""
    storage, offset = channels[0].format, channels[0].offset
    if storage not in BLOCKS and storage not in FLAC:
        raise Refusal("unsupported-format", f"format {storage}")
    if any(c.format != storage or c.offset != offset for c in channels):
        raise Refusal("unreadable-header", "signals of one file in several formats")
    if any(c.skew for c in channels):
        raise Refusal("unsupported-format", "skewed channels")
    found: list[Row] = []
    for signals, samples in _blocks(content, channels, _length(content, channels, declared)):
        _verify(signals, samples)
        found.extend(samples)
    return found


def _length(content: bytes, channels: Sequence[Channel], declared: int | None) -> int:
    """Frames to read: as many as declared, which must be there; all, where the header leaves it to the file."""
    size, block = BLOCKS.get(channels[0].format, (0, 1))
    there = (len(content) - channels[0].offset) * block // size if size else _claimed(content, channels)
    frame = sum(c.per_frame for c in channels)
    length = there // frame if declared is None else declared
    if length < 1 or length * frame > there:
        raise Refusal("truncated-signal", f"{max(there, 0)} of {length * frame} samples")
    if there - length * frame >= block and any(c.checksum is None for c in channels):
        raise Refusal("overlong-signal", f"{there} samples instead of {length * frame}")
    return length


def _claimed(content: bytes, channels: Sequence[Channel]) -> int:
    """Samples in a FLAC file as it says itself: 36 bits of its first block."""
    if content[:4] != b"fLaC":
        raise Refusal("unreadable-signal", "not a FLAC file")
    samples = int.from_bytes(content[18:26], "big") & ((1 << 36) - 1)
    return min((samples - channels[0].offset) * len(channels), MOST_FLAC)


def _blocks(content: bytes, channels: Sequence[Channel], length: int) -> Iterator[tuple[Sequence[Channel], Rows]]:
    """Channels of equal length together."""
    storage, per_frame = channels[0].format, [c.per_frame for c in channels]
    if storage not in ARRAYS:
        for channel, row in zip(channels, _decode(content, channels, length), strict=True):
            yield [channel], row[None]
        return
    kind = np.dtype(ARRAYS[storage])
    frames = np.frombuffer(content, kind, length * sum(per_frame), channels[0].offset).reshape(length, -1)
    if max(per_frame) == 1:
        yield channels, np.ascontiguousarray(frames.T, kind.newbyteorder("="))
        return
    for channel, column in zip(channels, np.split(frames, np.cumsum(per_frame)[:-1], axis=1), strict=True):
        yield [channel], column.reshape(1, -1).astype(kind.newbyteorder("="))


def _decode(content: bytes, channels: Sequence[Channel], length: int) -> list[Row]:
    import soundfile  # these two take half a second to import, and few records need them
    import wfdb

    lines = [f"r {len(channels)} 250 {length}"]
    lines += [f"r.dat {c.format}x{c.per_frame}+{c.offset} 200 0 0 {c.first or 0} 0 0 s" for c in channels]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "r.dat").write_bytes(content)
        Path(folder, "r.hea").write_text("\n".join(lines))
        try:
            found: Any = wfdb.rdrecord(f"{folder}/r", physical=False, smooth_frames=False)
        except (ValueError, soundfile.LibsndfileError):  # shapes that do not fit; a stream that is broken
            raise Refusal("unreadable-signal", f"format {channels[0].format}") from None
    return [row.astype(np.int32 if channels[0].format in WIDE else np.int16) for row in found.e_d_signal]


def _verify(channels: Sequence[Channel], samples: Rows) -> None:
    sums = samples.sum(axis=1, dtype=np.int16).tolist()  # modulo 65536, as the checksum is
    for channel, total, first in zip(channels, sums, samples[:, 0].tolist(), strict=True):
        if channel.checksum is not None and (channel.checksum - total) % 65536:
            raise Refusal("wrong-checksum", "sum of the samples of a channel")
        if channel.first is not None and channel.first != first:
            raise Refusal("wrong-checksum", "first sample of a channel")
