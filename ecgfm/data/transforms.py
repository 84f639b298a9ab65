"""From a stored signal to the fixed frame a run reads: so many seconds at so many samples per second."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int16

from ecgfm.batch import Channels
from ecgfm.data.record import LEADS, OTHERS, Signal
from ecgfm.data.resample import resampled
from ecgfm.run import Frame

Fitted = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]  # one row of Channels
_JUST_BELOW_ONE = float(np.nextafter(1, 0))


def begins(channels: Signal, frame: Frame, where: float) -> float:
    """In seconds: the window that stands at `where`, in [0, 1), of those that a recording has."""
    return int(where * (channels.samples.shape[1] - _wanted(channels, frame) + 1)) / channels.rate


def _wanted(channels: Signal, frame: Frame) -> int:
    return min(channels.samples.shape[1], int(np.ceil(frame.seconds * channels.rate)))


def fit(
    channels: Signal, frame: Frame, start: float, out: Int16[np.ndarray, "channel time"]
) -> tuple[Float32[np.ndarray, "channel"], Float32[np.ndarray, "channel"], Bool[np.ndarray, "channel"], int]:
    """Fill `out` (zeros) with a recording; scale, offset, leads and length as in Batch.

    Leads of an ECG have places of their own; of channels of another kind the first ones are taken.

    A longer recording gives the window that begins `start` seconds after its own beginning. Where it has ended by then,
    it is missing; a window that it does not fill is left padded. 16-bit samples at the frame's rate pass untouched;
    others are resampled (polyphase) and rounded to 16 bits per lead, which moves a sample by at most 1/65534 of its
    lead's largest.
    """
    size, first = len(out), round(start * channels.rate)
    scales, offsets, leads = np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size, bool)
    samples = channels.samples[:, first : first + _wanted(channels, frame)]
    if not samples.shape[1]:
        return scales, offsets, leads, 0
    if samples.dtype == np.int16 and channels.rate == frame.rate:
        samples = samples[:, : frame.samples]  # one less where rate * seconds is not whole
        scale = 1 / np.array(channels.gain)
        offset = -np.array(channels.baseline) * scale
    else:
        samples, scale = _quantised(_resampled(samples, channels, frame)[:, : frame.samples])
        offset = np.zeros(len(scale))
    rows: slice | list[int] = slice(min(size, len(samples)))  # a slice copies faster
    if channels.kind == "ecg" and channels.names != LEADS:
        rows = [LEADS.index(name) for name in channels.names]
    out[rows, : samples.shape[1]], scales[rows], offsets[rows] = samples[:size], scale[:size], offset[:size]
    leads[rows] = True
    return scales, offsets, leads, samples.shape[1]


def _resampled(samples: np.ndarray, channels: Signal, frame: Frame) -> Float32[np.ndarray, "lead time"]:
    gain, baseline = np.array(channels.gain)[:, None], np.array(channels.baseline)[:, None]
    millivolts = ((samples - baseline) / gain).astype(np.float32)
    return millivolts if channels.rate == frame.rate else resampled(millivolts, frame.rate / channels.rate)


def _quantised(millivolts: Float32[np.ndarray, "lead time"]) -> tuple[Int16[np.ndarray, "lead time"], np.ndarray]:
    scale = np.maximum(np.abs(millivolts).max(axis=1), 1e-6) / 32767
    return np.rint(millivolts / scale[:, None]).astype(np.int16), scale


def windows(
    ecg: Signal | None, others: Mapping[str, Signal | None], frame: Frame
) -> Iterator[tuple[Fitted, dict[str, Fitted]]]:
    """As few windows as cover a recording, spread evenly: its ECG and its channels of other kinds, by kind.

    Where there is an ECG, its length decides, and all are seen at the same time.
    """
    first = next(one for one in (ecg, *others.values()) if one)
    count = int(np.ceil(first.samples.shape[1] / np.ceil(frame.seconds * first.rate)))
    for where in np.linspace(0, _JUST_BELOW_ONE, count):
        start = begins(first, frame, float(where))
        seen = {kind: _fitted(found, OTHERS[kind], frame.of(kind), start) for kind, found in others.items()}
        yield _fitted(ecg, len(LEADS), frame, start), seen


def _fitted(channels: Signal | None, count: int, frame: Frame, start: float) -> Fitted:
    signal, none = np.zeros((count, frame.samples), np.int16), np.zeros(count, np.float32)
    scale, offset, leads, length = fit(channels, frame, start, signal) if channels else (none, none, none > 0, 0)
    return signal, scale, offset, leads, length


def stacked(rows: Sequence[Fitted]) -> Channels:
    *arrays, length = zip(*rows, strict=True)
    signal, scale, offset, leads = (torch.from_numpy(np.stack(array)) for array in arrays)
    return Channels(signal, scale, offset, leads, torch.tensor(length, dtype=torch.int32))
