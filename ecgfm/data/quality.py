"""Which records are refused, by which name, at which threshold, and why. The same table for readers: refusals.md.

The thresholds were set on the 389 open recordings that the tests read. There the deflection of a lead, from its lowest
to its highest sample, is 0.20 to 15.3 mV wherever the lead moves at all, and that of a record's largest lead 0.85 to
15.3 mV.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from ecgfm.data.record import CANONICAL, LEADS, Record, Signal

FLAT_MV = 0.02  # a tenth of the smallest deflection seen in a lead; 4 steps of a cart that writes 200 per mV
LARGEST_MV = 30.0  # twice the largest deflection seen, artefacts included
SMALLEST_MV = 0.1  # an eighth of the smallest largest deflection seen
RATES_HZ = (50.0, 2000.0)  # corpora in use: 100 to 1000
SHORTEST_S = 5.0  # corpora in use: from 6 s on

REASONS: Mapping[str, tuple[str, str]] = {
    "missing-file": ("header or signal file is not there", "nothing to read"),
    "unreadable-file": (
        "a file that is there and cannot be read, three times within about a second",
        "a permission, a disk or a network failed: delete its shard and run the job again once it can be read",
    ),
    "unreadable-header": (
        "a line, number or file name that WFDB does not know, a gain of 0, a signal file outside the record's folder",
        "what a header says is what its samples mean: no guess is better than none",
    ),
    "unsupported-format": (
        "skewed channels, segments that differ or leave gaps, leads at several rates, unknown storage formats",
        "such a record has no samples for all leads at all times, or none that we can check",
    ),
    "unreadable-signal": ("a compressed signal file that does not decode", "its samples are lost"),
    "truncated-signal": ("fewer samples than the header declares", "the rest of the recording is lost"),
    "overlong-signal": (
        "more samples than the header declares, and a channel without a checksum",
        "nothing tells which of the samples are meant, or how many channels they are of",
    ),
    "wrong-checksum": (
        "16-bit sum or first sample of a channel is not what its header says",
        "header and samples are not of one recording, or samples were damaged",
    ),
    "unknown-lead": ("a voltage channel that is none of the twelve leads", "what it shows cannot be named"),
    "duplicate-lead": ("a lead given twice", "nothing tells which one is the lead"),
    "missing-lead": ("fewer leads than the corpus promises: 12, unless it says otherwise", "an incomplete recording"),
    "unknown-unit": ("a lead in a unit that is not a voltage", "its amplitude means nothing"),
    "nan-samples": (
        "any sample of a lead is NaN, infinite, or its format's mark for none (-32768 in format 16)",
        "the published pipelines on MIMIC-IV-ECG leave such records out: with flat leads, 1 to 1.5 % of it",
    ),
    "flat-lead": (
        f"a lead moves by less than {FLAT_MV} mV over the whole recording",
        "an electrode was off: the published pipelines leave such records out",
    ),
    "implausible-amplitude": (
        f"a lead moves by more than {LARGEST_MV:g} mV, or none by {SMALLEST_MV} mV",
        "no heart makes it: a gain is wrong (one corpus holds gains 2000 times too large)",
    ),
    "implausible-rate": (
        f"leads sampled below {RATES_HZ[0]:g} or above {RATES_HZ[1]:g} Hz",
        "a QRS complex is lost below, and nobody samples a surface ECG above: the rate is wrong",
    ),
    "too-short": (f"less than {SHORTEST_S:g} s", "too few heart beats to tell a rhythm"),
    "missing-report": ("no words left in the report, where reports are asked for", "nothing to learn language from"),
}


class Refusal(Exception):
    """A record that is not taken, by one of the names of REASONS. The detail never holds text or identifiers."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


@lru_cache(256)
def lead_order(names: tuple[str, ...]) -> tuple[int, ...]:
    """Where each lead that is there stands among `names`, in the order of LEADS, whatever the case of its name."""
    places = [CANONICAL.get(name.lower()) for name in names]
    if None in places:
        raise Refusal("unknown-lead", f"channel {places.index(None) + 1} of {len(names)}")
    if len(set(places)) < len(places):
        raise Refusal("duplicate-lead", next(lead for lead in LEADS if places.count(lead) > 1))
    return tuple(places.index(lead) for lead in LEADS if lead in places)


def check(record: Record, leads: int = 12, report: bool = False) -> None:
    """Refuse a record whose ECG has fewer than so many leads, or one that does not hold; or that lacks a report.

    A lead that was never recorded is missing, which a corpus may allow; a lead that was lost is not allowed.
    Channels of another kind are not looked at.
    """
    ecg = record.ecg
    if lead_order(ecg.names) != tuple(range(len(ecg.names))):
        raise ValueError(f"Leads must stand in the order of LEADS, not as {', '.join(ecg.names)}: use lead_order.")
    if len(ecg.names) < max(leads, 1):
        raise Refusal("missing-lead", f"{len(ecg.names)} of {leads} leads")
    if not RATES_HZ[0] <= ecg.rate <= RATES_HZ[1]:
        raise Refusal("implausible-rate", f"{ecg.rate:g} Hz")
    if ecg.samples.shape[1] < SHORTEST_S * ecg.rate:
        raise Refusal("too-short", f"{ecg.samples.shape[1] / ecg.rate:.3g} s")
    _check_samples(ecg)
    if report and not (record.report and record.report.strip()):
        raise Refusal("missing-report")


def _check_samples(ecg: Signal) -> None:
    """The lowest and the highest sample of each lead tell all, in 5 us for 12 leads of 5,000 samples."""
    low, high = ecg.samples.min(axis=1), ecg.samples.max(axis=1)
    integers = np.issubdtype(ecg.samples.dtype, np.signedinteger)
    lost = low == np.iinfo(low.dtype).min if integers else ~(np.isfinite(low) & np.isfinite(high))
    if lost.any():
        raise Refusal("nan-samples", ", ".join(np.array(ecg.names)[lost]))
    moves = [(float(top) - float(bottom)) / gain for bottom, top, gain in zip(low, high, ecg.gain, strict=True)]
    widest, narrowest = max(moves), min(moves)
    if widest > LARGEST_MV or 0 < widest < SMALLEST_MV:
        raise Refusal("implausible-amplitude", f"{ecg.names[moves.index(widest)]} moves by {widest:.3g} mV")
    if narrowest < FLAT_MV:
        raise Refusal("flat-lead", ", ".join(n for n, move in zip(ecg.names, moves, strict=True) if move < FLAT_MV))
