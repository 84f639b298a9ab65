"""Which records are refused, and that the table for readers says the same."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from wfdb_files import waves

from ecgfm.data import quality, wfdb
from ecgfm.data.quality import REASONS, Refusal, check, lead_order
from ecgfm.data.record import LEADS, Record, Signal
from ecgfm.data.storage import Folder

ECG = Signal("ecg", LEADS, 100.0, waves(), (200.0,) * 12, (0.0,) * 12)


def recorded(ecg: Signal = ECG, report: str | None = None, **changes: object) -> Record:
    return Record(path="r", subject="s", signals=(replace(ecg, **changes),), report=report)  # type: ignore[arg-type]


def edited(lead: str, values: object, kind: type = np.int16) -> np.ndarray:
    samples = waves().astype(kind)
    samples[LEADS.index(lead)] = values
    return samples


def spiked(value: float, kind: type = np.int16) -> np.ndarray:
    samples = waves().astype(kind)
    samples[6, 77] = value
    return samples


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        (recorded(samples=spiked(-32768)), "nan-samples", "V1"),
        (recorded(samples=spiked(-(2**31), np.int32)), "nan-samples", "V1"),
        (recorded(samples=spiked(np.nan, np.float32)), "nan-samples", "V1"),
        (recorded(samples=spiked(-np.inf, np.float64)), "nan-samples", "V1"),
        (recorded(samples=edited("aVL", 0)), "flat-lead", "aVL"),
        (recorded(samples=edited("V6", 1234)), "flat-lead", "V6"),
        (recorded(samples=edited("V6", np.arange(600) % 2)), "flat-lead", "V6"),  # the last bit of a dead lead
        (recorded(samples=np.zeros_like(waves())), "flat-lead", ", ".join(LEADS)),
        (recorded(gain=(400_000.0,) * 12), "implausible-amplitude", "I moves by 0.00104 mV"),  # trap 2
        (recorded(samples=spiked(6000)), "implausible-amplitude", "V1 moves by 31 mV"),
        (recorded(rate=5.0), "implausible-rate", "5 Hz"),
        (recorded(rate=float("nan")), "implausible-rate", "nan Hz"),
        (recorded(rate=5e7), "implausible-rate", "5e+07 Hz"),
        (recorded(samples=waves(12, 499)), "too-short", "4.99 s"),
        (recorded(names=LEADS[:11], samples=waves(11), gain=(200.0,) * 11), "missing-lead", "11 of 12 leads"),
        (recorded(names=(*LEADS[:11], "V7")), "unknown-lead", "channel 12 of 12"),
        (recorded(names=(*LEADS[:11], "V5")), "duplicate-lead", "V5"),
    ],
)
def test_refused_by_name(record: Record, reason: str, detail: str):
    with pytest.raises(Refusal) as refusal:
        check(record)
    assert (refusal.value.reason, refusal.value.detail) == (reason, detail)


def test_taken():
    check(recorded())
    check(recorded(samples=waves().astype(np.float32)))
    check(recorded(samples=spiked(-32767), gain=(1200.0,) * 12))  # the last number that is not the mark of a lost one
    check(recorded(names=("II", "V5"), samples=waves(2), gain=(200.0,) * 2, baseline=(0.0,) * 2), leads=2)
    check(recorded(report=" "))


def test_reports_are_missed_only_where_they_are_asked_for():
    check(recorded(report="sinus rhythm"), report=True)
    for report in (None, "", " \n"):
        with pytest.raises(Refusal, match="missing-report"):
            check(recorded(report=report), report=True)


def test_leads_out_of_order_are_a_mistake_of_ours():
    with pytest.raises(ValueError, match="use lead_order"):
        check(recorded(names=LEADS[::-1]))


def test_order_of_leads_by_name():
    assert lead_order(("avf", "V6", "AVR", "i")) == (3, 2, 0, 1)
    assert lead_order(()) == ()


def test_real_records_are_refused_only_where_leads_are_flat(real: Path):
    """The distributions that the thresholds were set on."""
    headers = [*(real / "ptb-xl" / "records100").rglob("*.hea"), *(real / "ludb").rglob("*.hea")]
    headers += [*(real / "cinc-2021-form").rglob("*.hea"), *(real / "cpsc-2018-cinc2020-form").rglob("*.hea")]
    refused, moves = {}, []
    for header in headers:
        ecg = wfdb.read(Folder(str(header.parent)), header.stem).signals[0]
        try:
            check(recorded(ecg), leads=2)
        except Refusal as refusal:
            refused[header.stem] = str(refusal)
        else:
            moves.append(np.ptp(ecg.physical(), axis=1))
    assert refused == dict.fromkeys(("JS20004", "JS20008"), "flat-lead: V2, V4, V6")
    assert min(move.min() for move in moves) > 10 * quality.FLAT_MV
    assert min(move.max() for move in moves) > 8 * quality.SMALLEST_MV
    assert max(move.max() for move in moves) < quality.LARGEST_MV / 1.9


def test_the_table_for_readers_is_the_table():
    rows = Path(quality.__file__).with_name("refusals.md").read_text().splitlines()
    table = [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows if row.startswith("| ")]
    assert table[0] == ("name", "threshold", "reason")
    assert {name: (threshold, reason) for name, threshold, reason in table[1:]} == {
        f"`{name}`": entry for name, entry in REASONS.items()
    }


def test_every_name_that_is_raised_is_in_the_table():
    code = "".join(file.read_text() for file in Path(quality.__file__).parent.rglob("*.py"))
    assert set(re.findall(r"Refusal\(\s*\"([^\"]+)\"", code)) == set(REASONS)
