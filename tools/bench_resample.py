"""How long it takes to bring ten seconds of twelve leads to another rate, beside scipy's polyphase filter, in turn.

python tools/bench_resample.py
"""

import time
from collections.abc import Callable

import numpy as np
from scipy.signal import resample_poly

from ecgfm.data.resample import resampled

REPEATS = 50
RATES = [(500, 100), (500, 250), (257, 500), (360, 500), (1000, 500)]


def least(work: Callable[[], object]) -> float:
    """Milliseconds."""
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - start))
    return min(found)


def main() -> None:
    for rate, wanted in RATES:
        signal = np.random.default_rng(0).normal(size=(12, 10 * rate)).astype(np.float32)
        divisor = np.gcd(rate, wanted)
        up, down = wanted // divisor, rate // divisor
        ours = least(lambda s=signal, r=wanted / rate: resampled(s, r))
        scipys = least(lambda s=signal, up=up, down=down: resample_poly(s, up, down, axis=1, padtype="line"))
        print(f"{rate} -> {wanted} Hz: {ours:.2f} ms, scipy {scipys:.2f} ms, {scipys / ours:.1f} times")


if __name__ == "__main__":
    main()
