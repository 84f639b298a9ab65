"""Corpora on disk: in the publishers' layouts, read by the package's own readers and by the wfdb library."""

import csv
import hashlib
import re
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import wfdb
from scipy.signal import resample_poly

from ecgfm.data import quality, synthetic
from ecgfm.data.record import Record
from ecgfm.data.storage import Folder
from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.data.synthetic.people import visits

SHAPES = ("mimic-iv-ecg", "ptb-xl", "cpsc-2018", "csn", "cinc-2021", "code-15", "code-test")


@pytest.fixture(scope="session")
def mimic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "mimic"
    synthetic.write(folder, records=160, seed=3)
    return folder


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / name, newline="") as stream:
        return list(csv.DictReader(stream))


def opened(path: str, **options) -> Any:
    """What the wfdb library makes of a record."""
    return wfdb.rdrecord(path, **options)


def headers(folder: Path) -> list[str]:
    return [str(path.with_suffix("")) for path in sorted(folder.rglob("*.hea"))]


def content(folder: Path, pattern: str = "*") -> dict[str, str]:
    files = (path for path in folder.rglob(pattern) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def entries_and_records(shape: str, folder: Path) -> tuple[list[dict], dict[str, Record]]:
    corpus = import_module(f"ecgfm.data.sources.{shape.replace('-', '_')}").Corpus()
    source = Folder(str(folder))
    entries = corpus.entries(source).to_pylist()
    return entries, {entry["path"]: corpus.read(source, entry) for entry in entries}


def test_mimic_tables_are_those_of_the_publisher(mimic):
    listed, measured = rows(mimic, "record_list.csv"), rows(mimic, "machine_measurements.csv")
    assert list(listed[0]) == ["subject_id", "study_id", "file_name", "ecg_time", "path"]
    assert len(measured[0]) == 33
    assert list(measured[0])[4:24] == [f"report_{i}" for i in range(18)] + ["bandwidth", "filtering"]
    keys = [[(row["subject_id"], row["study_id"]) for row in table] for table in (listed, measured)]
    assert len(set(keys[0])) == len(keys[0]) >= 160
    assert set(keys[1]) <= set(keys[0])  # some have no measurements
    assert [key for key in keys[0] if key in set(keys[1])] != keys[1]  # and the order is another
    for row in listed:
        subject, study = row["subject_id"], row["study_id"]
        assert row["path"] == f"files/p{subject[:4]}/p{subject}/s{study}/{study}"
        assert re.fullmatch(r"1\d{7}", subject)
        assert re.fullmatch(r"4\d{7}", study)
        assert (mimic / f"{row['path']}.dat").stat().st_size == 120_000
    assert (mimic / "RECORDS").read_text().split() == [row["path"] for row in listed]


def test_mimic_measurements_have_gaps_and_sentinels(mimic):
    measured = rows(mimic, "machine_measurements.csv")
    lines = [[row[f"report_{i}"] for i in range(18)] for row in measured]
    assert all(line[0] for line in lines)
    assert any("" in "\n".join(line).strip().split("\n") for line in lines)
    assert {row["p_onset"] for row in measured} >= {"29999"}
    assert {row["p_axis"] for row in measured} >= {"32767"}


def test_mimic_headers_are_those_of_the_publisher(mimic):
    for path in headers(mimic)[:40]:
        record = opened(path, physical=False)
        assert record.sig_name == ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"]
        assert record.fmt == ["16"] * 12
        assert record.adc_gain == [200.0] * 12
        assert record.init_value == record.d_signal[0].tolist()
        assert [c % 65536 for c in record.checksum] == [int(c) % 65536 for c in record.d_signal.sum(axis=0)]
        assert record.base_datetime is not None
        assert re.fullmatch(r"<subject_id>: 1\d{7}", record.comments[0])
        assert re.search(r"16 200\.0\(0\)/mV 16 0 -?\d+ \d+ 0 I\n", Path(f"{path}.hea").read_text())


def test_mimic_sums_are_right(mimic):
    sums = {line[65:]: line[:64] for line in (mimic / "SHA256SUMS.txt").read_text().splitlines()}
    files = content(mimic)
    assert sums == {name: digest for name, digest in files.items() if name not in ("SHA256SUMS.txt", "factors.parquet")}


def test_a_smaller_corpus_is_the_beginning_of_a_larger(mimic, tmp_path):
    synthetic.write(tmp_path / "small", records=30, seed=3)
    small, large = content(tmp_path / "small", "4*.*"), content(mimic, "4*.*")
    assert small.items() <= large.items()
    synthetic.write(tmp_path / "again", records=30, seed=3)
    assert content(tmp_path / "again") == content(tmp_path / "small")
    synthetic.write(tmp_path / "other", records=30, seed=4)
    assert not set(content(tmp_path / "other", "*.dat").values()) & set(small.values())


def test_a_folder_that_is_not_empty_is_left_alone(mimic):
    with pytest.raises(FileExistsError, match="not empty"):
        synthetic.write(mimic)


def test_factors_lie_beside_the_recordings(mimic):
    factors = pq.read_table(mimic / "factors.parquet")
    assert set(factors["path"].to_pylist()) == {r["path"] for r in rows(mimic, "record_list.csv")}
    for finding in FINDINGS:
        assert {factors.schema.field(finding).type, factors.schema.field(f"{finding}_severity").type} == {
            "bool",
            "float",
        }
    expected = [visit.present["rbbb"] for visit in visits(3, 160)]
    assert factors["rbbb"].to_pylist() == expected


def test_lost_leads_are_refused_and_nothing_else_is(mimic):
    factors = {row["path"]: row["lost"] for row in pq.read_table(mimic / "factors.parquet").to_pylist()}
    corpus, source = import_module("ecgfm.data.sources.mimic_iv_ecg").Corpus(), Folder(str(mimic))
    refused = {}
    for entry in corpus.entries(source).to_pylist():
        try:
            quality.check(corpus.read(source, entry))
        except quality.Refusal as refusal:
            refused[entry["path"]] = refusal.reason
    reason = {"flat": "flat-lead", "missing": "nan-samples", "cut": "nan-samples"}
    assert refused == {path: reason[lost] for path, lost in factors.items() if lost}
    assert refused


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_read_by_its_reader(shape, tmp_path):
    synthetic.write(tmp_path / "corpus", shape, records=40, seed=9)
    entries, records = entries_and_records(shape, tmp_path / "corpus")
    factors = {row["path"]: row for row in pq.read_table(tmp_path / "corpus" / "factors.parquet").to_pylist()}
    assert len(entries) == len(records) >= 40
    assert set(records) == set(factors)
    for record in (record for path, record in records.items() if not factors[path]["lost"]):
        quality.check(record)
        i, ii, iii = record.ecg.physical()[:3]
        assert np.abs(iii - (ii - i)).max() < 0.006
        assert 0.3 < np.ptp(record.ecg.physical()) < 12


def test_ptb_xl_has_two_rates_and_folds_by_patient(tmp_path):
    synthetic.write(tmp_path / "corpus", "ptb-xl", records=30, seed=9)
    database = rows(tmp_path / "corpus", "ptbxl_database.csv")
    assert len(database[0]) == 28
    assert len({(row["patient_id"], row["strat_fold"]) for row in database}) == len({r["patient_id"] for r in database})
    for row in database[:5]:
        fast, slow = (opened(str(tmp_path / "corpus" / row[name])) for name in ("filename_hr", "filename_lr"))
        assert (fast.fs, slow.fs, fast.sig_name[3]) == (500, 100, "AVR")
        every_fifth = fast.p_signal[::5][10:-10]
        assert np.corrcoef(every_fifth.ravel(), slow.p_signal[10:-10].ravel())[0, 1] > 0.97


def test_labels_are_said_in_each_corpus_own_words(tmp_path):
    expected = {
        "cpsc-2018": ("all", "LBBB", "lbbb"),
        "csn": ("all", "LBBB", "lbbb"),
        "cinc-2021": ("scored", "CLBBB|LBBB", "lbbb"),
        "code-15": ("all", "LBBB", "lbbb"),
        "code-test": ("gold_standard", "LBBB", "lbbb"),
        "ptb-xl": ("diag", "CLBBB", "lbbb"),
    }
    for shape, (label_set, name, finding) in expected.items():
        folder = tmp_path / shape
        synthetic.write(folder, shape, records=30, seed=9)
        _, records = entries_and_records(shape, folder)
        factors = {row["path"]: row[finding] for row in pq.read_table(folder / "factors.parquet").to_pylist()}
        assert {path for path, r in records.items() if name in r.labels[label_set]} == {
            p for p, f in factors.items() if f
        }
        assert any(factors.values())


def test_lengths_of_cpsc_vary(tmp_path):
    synthetic.write(tmp_path / "corpus", "cpsc-2018", records=40, seed=9)
    _, records = entries_and_records("cpsc-2018", tmp_path / "corpus")
    seconds = np.array([record.ecg.samples.shape[1] / 500 for record in records.values()])
    assert 6 <= seconds.min() < 9
    assert 20 < seconds.max() <= 60


def test_a_pulse_wave_rides_along_at_its_own_rate(tmp_path):
    synthetic.write(tmp_path / "corpus", records=12, seed=3, pulse=True)
    synthetic.write(tmp_path / "without", records=12, seed=3)
    _, records = entries_and_records("mimic-iv-ecg", tmp_path / "corpus")
    _, plain = entries_and_records("mimic-iv-ecg", tmp_path / "without")
    for path, record in records.items():
        ecg, pulse = record.signals
        assert (pulse.kind, pulse.rate, pulse.samples.shape) == ("ppg", 125.0, (1, 1250))
        np.testing.assert_array_equal(ecg.samples, plain[path].ecg.samples)
    other = opened(headers(tmp_path / "corpus")[0], smooth_frames=False, physical=False)
    assert [len(channel) for channel in other.e_d_signal] == [5000] * 12 + [1250]


@pytest.mark.parametrize(("shape", "pulse"), [("mimic", False), ("csn", True)])
def test_what_cannot_be_written_is_said_at_once(tmp_path, shape, pulse):
    with pytest.raises(ValueError, match=r"no shape 'mimic'; there are|mimic-iv-ecg only"):
        synthetic.write(tmp_path / "corpus", shape, pulse=pulse)


def test_thousands_of_recordings_a_minute(tmp_path):
    """12,000 on an idle core without the tests' own checks of shapes. Held against scipy's filter on as many signals of
    that size, 40,000 a minute, as a core that is shared is slower at both."""
    synthetic.write(tmp_path / "first", records=10, seed=1)  # checks are compiled as they are met
    start = time.process_time()
    synthetic.write(tmp_path / "corpus", records=150, seed=1)
    made, signal = time.process_time(), np.random.default_rng(0).normal(size=(12, 5000)).astype(np.float32)
    for _ in headers(tmp_path / "corpus"):
        resample_poly(signal, 1, 5, axis=1)
    assert made - start < 26 * (time.process_time() - made)  # 1,500 a minute
