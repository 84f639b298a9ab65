"""Reading WFDB: equal to the wfdb library where it reads, right where it does not."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb as library
from wfdb_files import MIMIC_ORDER, lines, put, record, waves

from ecgfm.data import shards, wfdb
from ecgfm.data.quality import Refusal
from ecgfm.data.record import CANONICAL, LEADS, Record
from ecgfm.data.storage import Folder


def refused(source: Folder, path: str) -> str:
    with pytest.raises(Refusal) as refusal:
        wfdb.read(source, path)
    return refusal.value.reason


def rdrecord(path: Path, **options: object) -> Any:
    chosen: dict[str, Any] = {"physical": False, "smooth_frames": False} | options
    return library.rdrecord(str(path), **chosen)


def agree(root: Path, path: str, copy: Path | None = None) -> None:
    """What is decoded and what is read are what wfdb.rdrecord gives, from a corrected copy where it needs one."""
    theirs = rdrecord(copy or root / path)
    header, rows = wfdb.decode(Folder(str(root)), path)
    assert theirs.sig_name == [channel.name for channel in header.channels]
    assert theirs.adc_gain == [channel.gain for channel in header.channels]
    assert theirs.baseline == [channel.baseline for channel in header.channels]
    assert all(np.array_equal(ours, row) for ours, row in zip(rows, theirs.e_d_signal, strict=True))
    if {name.lower() for name in theirs.sig_name} - set(CANONICAL):
        return
    ecg = wfdb.read(Folder(str(root)), path).signals[0]
    assert ecg.names == tuple(lead for lead in LEADS if lead in ecg.names)
    where = [[name.lower() for name in theirs.sig_name].index(lead.lower()) for lead in ecg.names]
    assert np.array_equal(ecg.samples, np.stack([theirs.e_d_signal[i] for i in where]))
    assert ecg.samples.dtype == np.int16
    assert ecg.samples.flags.c_contiguous
    assert (ecg.rate, ecg.gain) == (theirs.fs * (theirs.samps_per_frame[0]), tuple(theirs.adc_gain[i] for i in where))


@pytest.mark.parametrize(
    ("folder", "count"),
    [
        ("ptb-xl/records100", 309),
        ("ptb-xl/records500", 309),
        ("cinc-2021-form", 53),
        ("cpsc-2018-cinc2020-form", 17),
        ("ludb/data", 10),
    ],
)
def test_every_real_record_is_what_the_library_reads(real: Path, folder: str, count: int):
    headers = sorted((real / folder).rglob("*.hea"))
    assert len(headers) == count
    for header in headers:
        agree(real, str(header.relative_to(real).with_suffix("")))


def test_headers_that_the_library_rejects_read_like_corrected_ones(real: Path, tmp_path: Path):
    """Trap 1: `.mat` in the record line."""
    headers = sorted((real / "reduced-leads").rglob("*.hea"))
    assert len(headers) == 12
    for header in headers:
        copy = tmp_path / header.parent.name / header.stem
        copy.parent.mkdir(exist_ok=True)
        first, _, rest = header.read_text().partition("\n")
        copy.with_suffix(".hea").write_text(
            f"{first.split()[0].removesuffix('.mat')} {first.split(None, 1)[1]}\n{rest}"
        )
        shutil.copy(header.with_suffix(".mat"), copy.parent)
        agree(real, str(header.relative_to(real).with_suffix("")), copy)


def test_reduced_leads_are_rows_of_the_whole_record(real: Path):
    source = Folder(str(real))
    for name in ("E07500", "HR06000", "JS20000"):
        whole = wfdb.read(source, f"cinc-2021-form/cinc2021/{name}").signals[0]
        for folder in ("two_leads", "three_leads", "four_leads", "six_leads"):
            ecg = wfdb.read(source, f"reduced-leads/{folder}/{name}").signals[0]
            rows = [whole.names.index(lead) for lead in ecg.names]
            assert np.array_equal(ecg.samples, whole.samples[rows])
            assert ecg.gain == tuple(whole.gain[i] for i in rows)  # `mv` and `mV`, `1000` and `1000.0(0)`


@pytest.mark.parametrize("name", ["100", "100_3chan", "a103l", "flacformats", "test01_00s", "multi-segment/041s/041s"])
def test_every_format_that_the_library_reads(real: Path, name: str):
    agree(real / "wfdb-formats", name)


def test_one_channel_in_each_format(real: Path):
    """The library trips over format 61 when asked for samples by channel, so it is asked for frames."""
    theirs = rdrecord(real / "wfdb-formats" / "binformats", smooth_frames=True).d_signal
    header, rows = wfdb.decode(Folder(str(real / "wfdb-formats")), "binformats")
    assert np.array_equal(np.stack(rows), theirs.T)
    kinds = {channel.format: row.dtype for channel, row in zip(header.channels, rows, strict=True)}
    assert {storage for storage, kind in kinds.items() if kind == np.int32} == {"8", "24", "32"}
    assert {storage for storage, kind in kinds.items() if kind == np.int16} == {
        "16",
        "61",
        "80",
        "160",
        "212",
        "310",
        "311",
    }


def test_samples_that_a_format_marks_as_lost_are_refused(real: Path):
    assert refused(Folder(str(real)), "wfdb-formats/multi-segment/041s/041s") == "nan-samples"


def test_gain_and_baseline_of_each_lead(real: Path):
    """Trap 7: LUDB scales every lead differently, around a baseline that is not zero."""
    ecg = wfdb.read(Folder(str(real)), "ludb/data/1").signals[0]
    assert (ecg.gain[0], ecg.baseline[0], ecg.gain[11], ecg.baseline[11]) == (1716, 6, 1457, 1)
    theirs = rdrecord(real / "ludb/data/1", physical=True, smooth_frames=True).p_signal
    np.testing.assert_allclose(ecg.physical(), theirs.T, atol=1e-6)


def test_leads_are_put_in_order_by_name(tmp_path: Path):
    """Trap 6: MIMIC-IV-ECG lists aVF before aVL. Trap 5: names come in any case."""
    samples = waves()
    for case in (str, str.lower, str.upper):
        source = put(tmp_path, record(samples, [case(name) for name in MIMIC_ORDER]))
        ecg = wfdb.read(source, "r").signals[0]
        assert ecg.names == LEADS
        assert np.array_equal(ecg.samples, samples[[MIMIC_ORDER.index(lead) for lead in LEADS]])


@pytest.mark.parametrize("storage", ["16", "16+24", "16x1+24", "16x1", "16+0"])
@pytest.mark.parametrize(
    "gain", ["200.0(0)/mV", "200", "200/mv", "2e2/mV", "0.2(0)/uV", "2.000e-01/\u00b5V", "200000/V"]
)
def test_ways_to_say_the_same(tmp_path: Path, storage: str, gain: str):
    """Traps 3 and 4."""
    source = put(tmp_path, record(waves(), storage=storage, gain=gain))
    ecg = wfdb.read(source, "r").signals[0]
    assert ecg.gain == pytest.approx((200,) * 12)
    assert ecg.unit == "mV"
    assert np.array_equal(ecg.samples[0], waves()[0])


def test_checksums_are_taken_modulo_65536(tmp_path: Path):
    """PTB-XL writes them unsigned, others signed."""
    samples = waves()
    for turn in (0, 65536, -65536):
        text = record(samples)["r.hea"].decode().splitlines()
        for i, row in enumerate(samples, 1):
            fields = text[i].split()
            fields[6] = str(int(row.sum()) + turn)
            text[i] = " ".join(fields)
        source = put(tmp_path, record(samples) | {"r.hea": "\n".join(text).encode()})
        assert np.array_equal(wfdb.read(source, "r").signals[0].samples[0], samples[0])


def test_several_signal_files(tmp_path: Path):
    """Trap 5: fifteen leads, the three of Frank in a file of their own."""
    samples, frank = waves(), waves(3)
    files = record(samples)
    text = files["r.hea"].decode().replace("r 12", "r 15") + "\n".join(lines(frank, ["vx", "vy", "vz"], "r.xyz"))
    source = put(tmp_path, files | {"r.hea": text.encode(), "r.xyz": frank.T.tobytes()})
    ecg, vcg = wfdb.read(source, "r").signals
    assert (ecg.names, vcg.kind, vcg.names) == (LEADS, "vcg", ("vx", "vy", "vz"))
    assert np.array_equal(vcg.samples, frank)
    agree(tmp_path, "r")


def test_channels_of_another_kind_keep_their_own_rate_and_unit(tmp_path: Path):
    slow, fast = waves(3, 500), waves(2, 2000)
    frames = np.concatenate([slow[:1].T, fast[0].reshape(-1, 4), fast[1].reshape(-1, 4), slow[1:].T], axis=1)
    text = [
        "r 5 125 500",
        *lines(slow[:1], ["Pleth"], "r.dat", gain="100/NU"),
        *lines(fast, ["V2", "I"], "r.dat", "16x4"),
    ]
    text += lines(slow[1:], ["ABP", "resp"], "r.dat", gain="16(800)/mmHg")
    source = put(tmp_path, {"r.hea": "\n".join(text).encode(), "r.dat": frames.astype("<i2").tobytes()})
    ecg, *others = wfdb.read(source, "r").signals
    assert (ecg.kind, ecg.names, ecg.rate) == ("ecg", ("I", "V2"), 500)
    assert np.array_equal(ecg.samples, fast[::-1])
    assert [(s.kind, s.names, s.rate, s.unit) for s in others] == [
        ("ppg", ("Pleth",), 125, "NU"),
        ("abp", ("ABP",), 125, "mmHg"),
        ("resp", ("resp",), 125, "mmHg"),
    ]
    assert all(np.array_equal(s.samples[0], row) for s, row in zip(others, slow, strict=True))
    theirs = rdrecord(tmp_path / "r").e_d_signal
    assert all(np.array_equal(a, b) for a, b in zip(wfdb.decode(source, "r")[1], theirs, strict=True))


@pytest.mark.parametrize("storage", ["80", "212", "24", "508", "524"])
def test_gaps_of_a_pulse_wave_are_known_as_such(tmp_path: Path, storage: str):
    """Each format marks them with a value of its own; `shards.channels` looks for the smallest of the type."""
    samples = waves(2).astype(np.int32) // 2 % 100  # in 8 bits
    pulse = samples[1].copy()
    pulse[60:70] = wfdb.NO_SAMPLE[storage]
    form = {"write_dir": str(tmp_path), "adc_gain": [200.0], "baseline": [0]}
    library.wrsamp("e", 100, ["mV"], ["II"], d_signal=samples[:1].T, fmt=["16"], **form)
    library.wrsamp("p", 100, ["NU"], ["PLETH"], d_signal=pulse[:, None], fmt=[storage], **form)
    (line,) = (tmp_path / "p.hea").read_text().splitlines()[1:]
    head = (tmp_path / "e.hea").read_text().replace("e 1 ", "r 2 ")
    source = put(tmp_path, {"r.hea": f"{head}{line}\n".encode()})
    ecg, ppg = wfdb.read(source, "r").signals
    assert np.array_equal(ecg.samples[0], samples[0])
    lost = ppg.samples[0] == np.iinfo(ppg.samples.dtype).min
    assert np.flatnonzero(lost).tolist() == [*range(60, 70)]
    assert np.array_equal(ppg.samples[0][~lost], samples[1][~lost])
    assert shards.channels(shards.row(Record("r", "s", (ecg, ppg)), 0, -1), "ppg") is None
    lead = line.replace("PLETH", "V1").replace("/NU", "/mV")
    assert refused(put(tmp_path, {"q.hea": f"q 1 100 600\n{lead}\n".encode()}), "q") == "nan-samples"


def test_segments_are_joined(tmp_path: Path):
    samples = waves(12, 1000)
    parts = record(samples[:, :400], name="a", line="{name} {count} 100 {length}")
    parts |= record(samples[:, 400:], name="b", line="{name} {count} 100 {length}")
    source = put(tmp_path, parts | {"r.hea": b"r/2 12 100 1000\na 400\nb 600\n"})
    assert np.array_equal(wfdb.read(source, "r").signals[0].samples[0], samples[0])
    theirs = rdrecord(tmp_path / "r", smooth_frames=True).d_signal
    assert np.array_equal(np.stack(wfdb.decode(source, "r")[1]), theirs.T)
    for wrong, reason in {
        b"r/2 12 100 1000\na 400\nr 600\n": "unsupported-format",  # holds itself
        b"r/2 12 100 800\na 400\na 400\n": "unreadable-header",
        b"r/2 12 100 999\na 400\nb 600\n": "unreadable-header",
        b"r/2 12 100 1000\na 400\n~ 600\n": "unsupported-format",  # a gap
        b"r/2 12 100 900\na 400\nb 500\n": "unreadable-header",
        b"r/2 12 100 1000\na 400\n": "unreadable-header",
        b"r/2 12 500 1000\na 400\nb 600\n": "unsupported-format",
        b"r/2 12 100 1000\na 400\nc 600\n": "missing-file",
    }.items():
        assert refused(put(tmp_path, {"r.hea": wrong}), "r") == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("\nr.dat 16 200.0(0)/mV", "\nr.dat 16 200.0(0)/mmHg"), "unknown-unit"),
        ((" 0 V4", " 0 V44"), "unknown-lead"),
        ((" 0 V4", ""), "unknown-lead"),
        ((" 0 V4", " 0 V5"), "duplicate-lead"),
        (("r.dat 16 ", "r.dat 16x2 "), "truncated-signal"),
        (("r.dat 16 ", "r.dat 16:3 "), "unsupported-format"),
        (("r.dat 16 ", "r.dat 0 "), "unsupported-format"),
        ((" 100 600", " 100 601"), "truncated-signal"),
        ((" 100 600", " 100 599"), "wrong-checksum"),
        (("r.dat", "s.dat"), "missing-file"),
        (("r 12", "r 0"), "unreadable-header"),
        (("r.dat 16 ", "r.dat 16x0 "), "unreadable-header"),
        (("r.dat 16 ", "r.dat 16+24 "), "truncated-signal"),
        (("200.0(0)/mV", "0/mV"), "unreadable-header"),
        (("200.0(0)/mV 16 0", f"200/mV 16 {'9' * 400}"), "unreadable-header"),
    ],
)
def test_refusals_have_names(tmp_path: Path, change: tuple[str, str], reason: str):
    files = record(waves())
    source = put(tmp_path, files | {"r.hea": files["r.hea"].decode().replace(*change).encode()})
    assert refused(source, "r") == reason


@pytest.mark.parametrize(("old", "new"), [(" 16 200", " 61 200"), (" 16 200", " 16+24 200"), ("r.dat", "s.dat")])
def test_signals_of_one_file_are_stored_in_one_way(tmp_path: Path, old: str, new: str):
    text = record(waves())["r.hea"].decode().splitlines()
    text[5] = text[5].replace(old, new)
    assert refused(put(tmp_path, record(waves()) | {"r.hea": "\n".join(text).encode()}), "r") == "unreadable-header"


def test_leads_at_several_rates(tmp_path: Path):
    slow, fast = waves(1, 600), waves(1, 1200)
    text = ["r 2 100 600", *lines(slow, ["I"], "r.dat"), *lines(fast, ["II"], "r.dat", "16x2")]
    frames = np.concatenate([slow.T, fast.reshape(-1, 2)], axis=1)
    source = put(tmp_path, {"r.hea": "\n".join(text).encode(), "r.dat": frames.tobytes()})
    assert refused(source, "r") == "unsupported-format"


def test_without_checksums_a_file_must_hold_as_much_as_is_declared(tmp_path: Path):
    text = ["r 3 100 600", *(" ".join(line.split()[:3]) for line in lines(waves(3), ["I", "II", "V5"], "r.dat"))]
    for length, expected in ((600, "unknown-lead"), (599, "overlong-signal"), (601, "truncated-signal")):
        text[0] = f"r 3 100 {length}"  # names are behind the checksums, and so are not told either
        assert (
            refused(put(tmp_path, {"r.hea": "\n".join(text).encode(), "r.dat": waves(3).T.tobytes()}), "r") == expected
        )


def test_a_record_without_leads_of_an_ecg(tmp_path: Path):
    assert refused(put(tmp_path, record(waves(1), ["Pleth"])), "r") == "missing-lead"
    assert refused(Folder(str(tmp_path)), "nothing") == "missing-file"
    assert refused(put(tmp_path, {"r.hea": b"r 0 100 600"}), "r") == "missing-lead"


def test_an_object_store_reads_the_same(tmp_path: Path):
    """Also the formats that the library decodes, which wants a local file."""
    here, there = put(tmp_path, record(waves())), Folder("mock:///bucket")  # pyarrow's file system in memory
    scale = {"fmt": ["212"] * 3, "adc_gain": [200.0] * 3, "baseline": [0] * 3, "write_dir": str(tmp_path)}
    library.wrsamp("p", 100, ["mV"] * 3, ["I", "II", "V5"], d_signal=waves(3).T, **scale)
    for file in ("r.hea", "r.dat", "p.hea", "p.dat"):
        there.write(f"a/{file}", here.read(file))
    for name in ("r", "p"):
        ours, theirs = wfdb.read(here, name).signals[0], wfdb.read(there, f"a/{name}").signals[0]
        assert np.array_equal(ours.samples, theirs.samples)
    assert np.array_equal(wfdb.read(there, "a/p").signals[0].samples, waves(3))
    assert refused(there, "a/q") == "missing-file"
