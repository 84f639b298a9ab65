"""From one sampling rate to another: a polyphase filter, as matrix products over blocks of the signal.

Every `up` samples that come out see the inputs around them by the same weights, so a block of outputs is one window of
the inputs times a banded matrix. Most of the matrix is zeros, and the products still take a quarter of the time of
filtering sample by sample (tools/bench_resample.py).
"""

from fractions import Fraction
from functools import lru_cache

import numpy as np
from jaxtyping import Float32

_CROSSINGS = 10  # of zero, of the filter's sinc to each side
_BETA = 5.0  # of its Kaiser window: beyond the pass band 50 dB down
_BLOCK = 64  # samples that come out of a product, at least
_LARGEST = 1000  # denominator of a ratio of rates


def resampled(signal: Float32[np.ndarray, "lead time"], ratio: float) -> Float32[np.ndarray, "lead _"]:
    """`signal` at `ratio` times its rate, from its first sample on.

    Beyond its ends the signal goes on along the line through them, as zeros would ring. The line is kept out of the
    filter, whose phases do not all add up to one exactly.
    """
    up, down = Fraction(ratio).limit_denominator(_LARGEST).as_integer_ratio()
    weights, reach = _banded(up, down)
    window, size = weights.shape
    leads, length = signal.shape
    made = -(-length * up // down)
    blocks, stride = -(-made // size), size // up * down
    line = signal[:, :1], (signal[:, -1:] - signal[:, :1]) / max(1, length - 1)
    padded = np.zeros((leads, (blocks - 1) * stride + window), np.float32)
    inner = padded[:, reach : reach + length]
    inner += (signal - _along(*line, length, 1.0))[:, : inner.shape[1]]
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)[:, ::stride]
    found = (windows.reshape(-1, window) @ weights).reshape(leads, -1)[:, :made]
    return found + _along(*line, made, down / up)


def _along(start: np.ndarray, slope: np.ndarray, count: int, step: float) -> Float32[np.ndarray, "lead {count}"]:
    return start + slope * (step * np.arange(count)).astype(np.float32)


@lru_cache(maxsize=32)
def _banded(up: int, down: int) -> tuple[Float32[np.ndarray, "window block"], int]:
    """A block of outputs from the inputs from `reach` before its first one on."""
    widest = max(up, down)
    half = _CROSSINGS * widest
    taps = np.sinc(np.arange(-half, half + 1) / widest) * np.kaiser(2 * half + 1, _BETA)
    taps *= up / taps.sum()
    periods, reach = -(-_BLOCK // up), -(-half // up)
    after = np.arange(periods * up)[None]  # outputs, counted in steps of down
    before = np.arange(-reach, periods * down + reach + 1)[:, None]  # inputs, counted in steps of up
    place = after * down - before * up + half
    inside = (place >= 0) & (place < len(taps))
    return np.where(inside, taps[place.clip(0, len(taps) - 1)], 0).astype(np.float32), reach
