"""Recordings as a user gives them: checked, put in order by the names of their leads, and cut to the frame."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

import numpy as np
from jaxtyping import Float

from ecgfm.data.record import CANONICAL, LEADS, Signal
from ecgfm.run import Frame

Recording = Float[np.ndarray, "lead time"]


def recordings(signal: np.ndarray | Sequence[np.ndarray], leads: Sequence[str]) -> tuple[list[Recording], list[str]]:
    """Recordings in millivolts and their leads, both in the canonical order of leads.

    `signal` is one recording [lead, time], several of one length [recording, lead, time], or a list of recordings.
    """
    names = _canonical(leads)
    order = sorted(range(len(names)), key=lambda i: LEADS.index(names[i]))
    given = [*signal] if several(signal) else [signal]
    if not given:
        raise ValueError("there is no recording to embed")
    return [_checked(np.asarray(one), names, i)[order] for i, one in enumerate(given)], [names[i] for i in order]


def several(signal: np.ndarray | Sequence[np.ndarray]) -> bool:
    return isinstance(signal, list | tuple) or np.ndim(signal) == 3


def _canonical(leads: Sequence[str]) -> list[str]:
    if isinstance(leads, str):
        raise ValueError(f"leads={leads!r}: give a list of names, also of one")
    found = []
    for lead in leads:
        name = CANONICAL.get(lead.strip().lower())
        if name is None:
            near = get_close_matches(lead.strip().lower(), CANONICAL, 1, 0.4)
            hint = f"did you mean {CANONICAL[near[0]]}?" if near else f"leads are {', '.join(LEADS)}"
            raise ValueError(f"no lead is called {lead!r}: {hint}")
        if name in found:
            raise ValueError(f"lead {name} is named twice")
        found.append(name)
    return found


def _checked(recording: np.ndarray, names: Sequence[str], number: int) -> Recording:
    what = f"recording {number}"
    if recording.ndim != 2:
        raise ValueError(f"{what} has the shape {recording.shape}, not [lead, time]")
    if not np.issubdtype(recording.dtype, np.floating):
        raise ValueError(f"{what} holds {recording.dtype}: give millivolts, (samples - baseline) / gain, as floats")
    if len(recording) != len(names):
        turned = ": it is [time, lead], give its transpose" if recording.shape[1] == len(names) else ""
        raise ValueError(f"{what} has {len(recording)} rows for {len(names)} leads{turned}")
    for name, lead in zip(names, recording, strict=True):
        if not np.isfinite(lead).all():
            first = int(np.flatnonzero(~np.isfinite(lead))[0])
            raise ValueError(f"{what}, lead {name}: sample {first} is {lead[first]}; leave out a lead that is missing")
    return recording


def windows(recording: Recording, names: Sequence[str], fs: float, frame: Frame) -> Iterator[Signal]:
    """As few windows as cover a recording, spread evenly; one, when it is not longer than the frame."""
    time = recording.shape[1]
    size = min(time, int(np.ceil(frame.seconds * fs)))
    count = -(-time // size)
    for i in range(count):
        start = round(i * (time - size) / max(count - 1, 1))
        samples = recording[:, start : start + size].astype(np.float32)
        yield Signal("ecg", tuple(names), fs, samples, (1.0,) * len(names), (0.0,) * len(names))
