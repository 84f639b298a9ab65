"""Recordings as a user gives them: checked, their leads put in order by name, and other channels beside them."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
from jaxtyping import Num

from ecgfm.data.quality import FLAT_MV, LARGEST_MV
from ecgfm.data.record import CANONICAL, LEADS, OTHERS, Signal

Given = np.ndarray | Sequence[np.ndarray]
Waves = np.ndarray | Sequence[np.ndarray | None]
Others = Mapping[str, tuple[Waves, float]]  # by kind: waves, and their samples per second


class Recording(NamedTuple):
    ecg: Signal | None
    others: dict[str, Signal | None]


def recordings(signal: Given, fs: float, leads: Sequence[str], others: Others) -> tuple[list[Recording], bool]:
    """Recordings, their leads in the canonical order of leads; and whether several were given.

    `signal` is one recording [lead, time], several of one length [recording, lead, time], or a list of recordings, in
    millivolts. Where there are `others`, it and `leads` may be empty.
    """
    beside = {kind: _waves(kind, *given) for kind, given in others.items()}
    alone = bool(others) and not len(leads) and not any(np.size(one) for one in signal)
    ecgs = [None] * len(next(iter(beside.values()))) if alone else _ecgs(signal, fs, leads)
    for kind, waves in beside.items():
        if len(waves) != len(ecgs):
            raise ValueError(f"{kind} of {len(waves)} recordings, and {len(ecgs)} to embed: give a list, one for each")
    made = [Recording(ecg, {kind: waves[i] for kind, waves in beside.items()}) for i, ecg in enumerate(ecgs)]
    for i, one in enumerate(made):
        if not (one.ecg or any(one.others.values())):
            raise ValueError(f"recording {i} holds neither leads nor {' or '.join(others)}")
    return made, _several(next(iter(others.values()))[0] if alone else signal)


def _several(given: Given | Waves) -> bool:
    return isinstance(given, list | tuple) or np.asarray(given).ndim == 3


def _ecgs(signal: Given, fs: float, leads: Sequence[str]) -> list[Signal]:
    names = _canonical(leads)
    order = sorted(range(len(names)), key=lambda i: LEADS.index(names[i]))
    given = [*signal] if _several(signal) else [signal]
    if not given:
        raise ValueError("there is no recording to embed")
    checked = [_checked(np.asarray(one), names, f"recording {i}")[order] for i, one in enumerate(given)]
    return [_signal("ecg", [names[i] for i in order], fs, one) for one in checked]


def _canonical(leads: Sequence[str]) -> list[str]:
    if isinstance(leads, str) or not len(leads):
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


def _checked(recording: np.ndarray, names: Sequence[str], what: str) -> Num[np.ndarray, "lead time"]:
    if recording.ndim != 2:
        raise ValueError(f"{what} has the shape {recording.shape}, not [lead, time]")
    if not np.issubdtype(recording.dtype, np.floating):
        raise ValueError(f"{what} holds {recording.dtype}: give millivolts, (samples - baseline) / gain, as floats")
    if len(recording) != len(names):
        turned = ": it is [time, lead], give its transpose" if recording.shape[1] == len(names) else ""
        raise ValueError(f"{what} has {len(recording)} rows for {len(names)} leads{turned}")
    for name, lead in zip(names, recording, strict=True):
        _no_gap(lead, f"{what}, lead {name}", "leave out a lead that is missing")
        _plausible(lead, f"{what}, lead {name}")
    return recording


def _waves(kind: str, given: Waves, fs: float) -> list[Signal | None]:
    """Those that are None or empty were not recorded."""
    found: list[Signal | None] = []
    for i, one in enumerate(given if _several(given) else [given]):
        wave, what = np.zeros(0) if one is None else np.asarray(one, float), f"recording {i}, {kind}"
        channels = wave[None] if wave.ndim == 1 else wave
        if channels.ndim != 2 or len(channels) > OTHERS[kind]:
            raise ValueError(
                f"{what} has the shape {wave.shape}, not [time] or [channel, time], channels: {OTHERS[kind]}"
            )
        _no_gap(channels.ravel(), what, "give None where it is missing")
        found.append(_signal(kind, [kind] * len(channels), fs, channels) if wave.size else None)
    return found


def _no_gap(samples: np.ndarray, what: str, remedy: str) -> None:
    if not np.isfinite(samples).all():
        first = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise ValueError(f"{what}: sample {first} is {samples[first]}; {remedy}")


def _plausible(lead: np.ndarray, what: str) -> None:
    """What shards refuse no towers have seen, and they take a lead of zeros for one that was recorded."""
    moves = float(np.ptp(lead)) if lead.size else 0.0
    if moves < FLAT_MV:
        raise ValueError(f"{what} moves by {moves:.3g} mV, less than {FLAT_MV}: leave out a lead that is missing")
    if moves > LARGEST_MV:
        raise ValueError(f"{what} moves by {moves:.3g} mV, more than {LARGEST_MV:g}: give millivolts")


def _signal(kind: str, names: Sequence[str], fs: float, samples: np.ndarray) -> Signal:
    if not fs > 0:
        raise ValueError(f"fs={fs:g}: it is the samples per second of what is given")
    return Signal(kind, tuple(names), fs, samples, (1.0,) * len(names), (0.0,) * len(names))
