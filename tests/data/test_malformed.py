"""Malformed records: every one ends in a named refusal or in a correct record; none crashes, hangs or reads wrong.

Correct means, for each lead that comes back: gain and baseline are those of the signal line that bears its name in the
header as it now stands, and the samples reproduce the checksum and the first sample that this line gives. Where it
gives none, they are what a naive reader finds at that channel's place in the signal file, or the intact record's. A
change that nothing in the record contradicts (another gain, say) makes a different record, not a malformed one.
"""

import random
import re
import time
import tracemalloc
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wfdb as library
from mutations import MUTATIONS
from wfdb_files import lines, put, record, waves

from ecgfm.data import wfdb
from ecgfm.data.quality import REASONS, Refusal, check
from ecgfm.data.record import Record, Signal
from ecgfm.data.storage import Folder

Files = dict[str, bytes]
SEEDS = 10  # times 6 forms and 30 mutations: 1,800 malformed records, and 300 more of real ones
NAMES = ("I", "II", "V5")
REAL = (
    *("ptb-xl/records100/00000/00001_lr", "reduced-leads/three_leads/E07500", "wfdb-formats/100_3chan"),
    *("cpsc-2018-cinc2020-form/A0003", "ludb/data/1"),
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """Intact records of six forms, each of 6 s at 100 Hz."""
    samples = waves(3)
    plain, told = record(samples, NAMES), "{name} {count} 100 {length}"
    bases = {"plain": plain, "offset": record(samples, NAMES, storage="16+24", gain="200/mv", comments=["#Age: 3"])}
    two = ["r 3 100 600", *lines(samples[:2], NAMES[:2], "r.dat"), *lines(samples[2:], NAMES[2:], "s.dat")]
    bases["two files"] = {
        "r.hea": "\n".join(two).encode(),
        "r.dat": samples[:2].T.tobytes(),
        "s.dat": samples[2].tobytes(),
    }
    halves = record(samples[:, :300], NAMES, "r_1", told) | record(samples[:, 300:], NAMES, "r_2", told)
    bases["segments"] = halves | {"r.hea": b"r/2 3 100 600\nr_1 300\nr_2 300"}
    for storage in ("212", "516"):
        folder = tmp_path_factory.mktemp(storage)
        scale = {"fmt": [storage] * 3, "adc_gain": [200.0] * 3, "baseline": [0] * 3}
        library.wrsamp("r", 100, ["mV"] * 3, list(NAMES), d_signal=samples.T, write_dir=str(folder), **scale)
        bases[storage] = {file.name: file.read_bytes() for file in folder.iterdir()}
    return bases


def told_in(header: bytes) -> list[list[str]]:
    """The fields of each line that is no comment, as far as the header can be read at all."""
    text = header.decode("utf-8", errors="replace").replace("\r", "\n").split("\n")
    return [line.strip().split(None, 8) for line in text if line.strip() and line.strip()[0] != "#"]


def naive(files: Files, told: list[str], place: int, count: int) -> np.ndarray:
    """Samples of one channel of a file in format 16."""
    content = files[told[0]][int(told[1].partition("+")[2] or 0) :]
    return np.array(array("h", content[: len(content) // 2 * 2])[place::count])


def assert_correct(ecg: Signal, header: bytes, files: Files, intact: Signal) -> None:
    first, *others = told_in(header)
    if first[0].partition("/")[2]:  # segments
        ends = np.cumsum([int(length) for _, length in others])
        for (name, _), samples in zip(others, np.split(ecg.samples, ends[:-1], axis=1), strict=True):
            assert_correct(replace(ecg, samples=samples), files[f"{name}.hea"], files, intact)
        return
    told = {fields[8].lower() if len(fields) > 8 else "": fields for fields in others}
    for name, row, gain, baseline in zip(ecg.names, ecg.samples, ecg.gain, ecg.baseline, strict=True):
        fields = told[name.lower()]
        scale = re.match(r"([\d.]+(?:[eE][+-]?\d+)?)(?:\((-?\d+)\))?/?(\S*)", fields[2])
        assert scale
        assert gain == float(scale[1]) * {"uv": 1000, "v": 0.001}.get(scale[3].lower(), 1)
        assert baseline == float(scale[2] or fields[4])
        if len(fields) > 6:
            assert (int(row.sum()) - int(fields[6])) % 65536 == 0
        if len(fields) > 5:
            assert row[0] == int(fields[5])
        if len(fields) <= 6 or fields[1].startswith("16"):
            beside = [other for other in told.values() if other[0] == fields[0]]
            found = naive(files, fields, beside.index(fields), len(beside))
            assert np.array_equal(row, found[: len(row)]) or np.array_equal(
                row, intact.samples[intact.names.index(name)]
            )


def outcome(folder: Path, name: str, files: Files, intact: Signal) -> str:
    """The name of the refusal, or "taken" once the record is proven to be correct."""
    source, start = put(folder, files), time.process_time()
    try:
        recording = wfdb.read(source, name)
        assert_correct(recording.signals[0], files[f"{name}.hea"], files, intact)
        check(Record(path=name, subject="s", signals=recording.signals), leads=2)
        found = "taken"
    except Refusal as refusal:
        found = refusal.reason
    assert found in ("taken", *REASONS)
    assert time.process_time() - start < 2
    return found


def outcomes(folder: Path, name: str, files: Files, mutation: str, seeds: int) -> Counter[str]:
    suffixes, change = MUTATIONS[mutation]
    intact = wfdb.read(put(folder, files), name).signals[0]
    found: Counter[str] = Counter()
    for seed in range(seeds):
        chance = random.Random(f"{name} {mutation} {seed}")
        victim = chance.choice([file for file in sorted(files) if file.endswith(suffixes)])
        found[outcome(folder, name, files | {victim: change(files[victim], chance)}, intact)] += 1
    return found


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("form", ["plain", "offset", "two files", "segments", "212", "516"])
def test_a_mutation_is_refused_by_name_or_reads_right(made: dict[str, Files], tmp_path: Path, form: str, mutation: str):
    assert outcomes(tmp_path, "r", made[form], mutation, SEEDS).total() == SEEDS


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_of_a_real_record(real: Path, tmp_path: Path, mutation: str):
    for path in REAL:
        stem = real / path
        files = [file for file in stem.parent.glob(f"{stem.name}.*") if file.suffix in (".hea", ".dat", ".mat")]
        contents = {file.name: file.read_bytes() for file in files}
        assert outcomes(tmp_path, stem.name, contents, mutation, 2).total() == 2


def test_files_elsewhere_are_not_read(tmp_path: Path):
    """Though the file is there, and holds what the header says."""
    outside, inside = tmp_path / "x.dat", tmp_path / "folder"
    inside.mkdir()
    files = record(waves())
    outside.write_bytes(files["r.dat"])
    for name in ("../x.dat", str(outside), "..\\x.dat", "./../x.dat", "folder/../../x.dat"):
        header = files["r.hea"].replace(b"r.dat", name.encode())
        assert reason(put(inside, {"r.hea": header})) == "unreadable-header"
    assert reason(put(inside, {"r.hea": b"r/1 12 100 600\n../r 600"})) == "unsupported-format"
    assert reason(put(inside, {"r.hea": files["r.hea"].replace(b"r.dat", b"~")})) == "unreadable-header"


def test_a_folder_where_a_file_should_be(tmp_path: Path):
    source = put(tmp_path, {"r.hea": record(waves())["r.hea"]})
    (tmp_path / "r.dat").mkdir()
    assert reason(source) == "missing-file"
    assert reason(source, "r.hea/r") == "missing-file"


@pytest.mark.parametrize("form", ["plain", "212", "516", "segments"])
def test_declared_lengths_cost_no_memory_that_is_not_there(made: dict[str, Files], tmp_path: Path, form: str):
    told = made[form]["r.hea"]
    changes = [told.replace(b" 600", b" " + length) for length in (b"999999999", b"999999999999", b"9" * 30)]
    changes += [
        told.replace(b"16 ", b"16x999999 "),
        told.replace(b"212 ", b"212x999999 "),
        told.replace(b"r/2", b"r/99999999"),
    ]
    changes += [re.sub(rb"\d+(x1)?(\+0)? 200", rb"516x999999+999999999 200", told)]
    for header in changes:
        source = put(tmp_path, made[form] | {"r.hea": header})
        if header != told:
            assert peak(lambda source=source: reason(source)) < 1 << 20


def test_a_forged_length_in_a_compressed_file(made: dict[str, Files], tmp_path: Path):
    """Header and file claim to hold the same hour, of which six seconds are there; or a year, which nobody believes."""
    for samples, expected in ((360_000, "unreadable-signal"), (3_153_600_000, "truncated-signal")):
        told = made["516"]["r.hea"].replace(b" 600", b" %d" % samples)
        content = made["516"]["r.dat"]
        forged = content[:21] + bytes([content[21] & 0xF0]) + samples.to_bytes(4, "big") + content[26:]
        assert reason(put(tmp_path, {"r.hea": told, "r.dat": forged})) == expected


def test_thousands_of_signals(tmp_path: Path):
    told = "".join(f"r.dat 16 200/mV 16 0 0 0 0 V{i}\n" for i in range(5_000))
    start = time.process_time()
    assert (
        reason(put(tmp_path, {"r.hea": f"r 5000 100 600\n{told}".encode(), "r.dat": bytes(12)})) == "truncated-signal"
    )
    assert reason(put(tmp_path, {"r.hea": f"r 5000 100 1\n{told}".encode(), "r.dat": bytes(10_000)})) == "unknown-lead"
    assert reason(put(tmp_path, {"r.hea": ("r 12 100 600\n" + "# \n" * 100_000).encode()})) == "unreadable-header"
    assert time.process_time() - start < 5


def reason(source: Folder, path: str = "r") -> str:
    with pytest.raises(Refusal) as refusal:
        wfdb.read(source, path)
    return refusal.value.reason


def peak(call: Callable[[], object]) -> int:
    tracemalloc.start()
    call()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most
