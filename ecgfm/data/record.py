"""What one recording is, whatever corpus it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from jaxtyping import Float32, Num

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
CANONICAL = {name.lower(): name for name in LEADS}
OTHERS = {"ppg": 1}  # kinds of channels that a run can read beside the ECG, and how many channels of each


@dataclass(frozen=True)
class Signal:
    """Channels that share a kind and a rate: the leads of an ECG, or a pulse wave beside it.

    Samples keep the type and the values they have on disk: physical = (samples - baseline) / gain.
    ECG leads stand in the order of LEADS, whatever their order on disk; a lead that was not recorded is absent.
    """

    kind: str  # "ecg", or another kind of channel: "ppg", "eeg", ...
    names: tuple[str, ...]
    rate: float  # Hz
    samples: Num[np.ndarray, "channel time"]
    gain: tuple[float, ...]
    baseline: tuple[float, ...]
    unit: str = "mV"

    def physical(self) -> Float32[np.ndarray, "channel time"]:
        gain, baseline = np.array(self.gain)[:, None], np.array(self.baseline)[:, None]
        return ((self.samples - baseline) / gain).astype(np.float32)


@dataclass(frozen=True)
class Record:
    """One recording. Labels and measurements are for evaluation only: no training code reads them."""

    path: str  # relative to the corpus
    subject: str  # the publisher's identifier: it becomes an opaque index when the record enters a shard
    signals: tuple[Signal, ...]  # the ECG first
    time: datetime | None = None
    age: float | None = None
    sex: str | None = None  # "F" or "M"
    report: str | None = None
    fold: int | None = None  # the publisher's cross-validation fold
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # label set -> names
    measurements: Mapping[str, float] = field(default_factory=dict)  # the cart's own, in ms and degrees

    @property
    def ecg(self) -> Signal:
        return self.signals[0]
