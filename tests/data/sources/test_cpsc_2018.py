import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from ecgfm.data.quality import Refusal
from ecgfm.data.record import LEADS
from ecgfm.data.sources.cpsc_2018 import CLASSES, CODES, Corpus
from ecgfm.data.storage import Folder

MERL = ("NORM", "AFIB", "1AVB", "CLBBB", "CRBBB", "PAC", "VPC", "STD", "STE")  # in the order of CLASSES


@pytest.fixture
def structs(tmp_path: Path, real: Path) -> Folder:
    """The original form: archives beside one another, a table of labels; one recording is not there."""
    for number, name in enumerate(("A1980", "A1982"), start=1):
        (tmp_path / f"TrainingSet{number}").mkdir()
        shutil.copy(real / "cinc-2021-form" / "cpsc2018" / f"{name}.mat", tmp_path / f"TrainingSet{number}")
    rows = ["Recording,First_label,Second_label,Third_label", "A1980,5,,", "A1982,2,8,", "A9999,1,,"]
    (tmp_path / "REFERENCE.csv").write_text("\n".join(rows))
    (tmp_path / "TrainingSet1" / "REFERENCE.csv").write_text("\n".join(rows[:2]))
    return Folder(str(tmp_path))


def test_the_original_form(structs: Folder, real: Path):
    entries = Corpus().entries(structs).to_pylist()
    assert [e["path"] for e in entries] == ["TrainingSet1/A1980.mat", "TrainingSet2/A1982.mat", "A9999.mat"]
    assert [dict(e["labels"]) for e in entries] == [{"all": ["RBBB"]}, {"all": ["AF", "STD"]}, {"all": ["Normal"]}]
    record = Corpus().read(structs, entries[0])
    assert (record.age, record.sex, record.labels) == (52, "M", {"all": ("RBBB",)})
    assert (record.ecg.names, record.ecg.rate, record.ecg.samples.dtype) == (LEADS, 500.0, np.float64)
    stored = loadmat(real / "cinc-2021-form" / "cpsc2018" / "A1980.mat")["ECG"]["data"][0, 0]
    assert np.array_equal(record.ecg.samples, stored)
    one, two, _, avr, *_ = record.ecg.physical()  # names are given by position here: the identities hold them to it
    assert np.median(np.abs(avr + (one + two) / 2)) <= 0.002


def test_a_recording_that_is_not_there_is_refused(structs: Folder):
    with pytest.raises(Refusal, match="missing-file"):
        Corpus().read(structs, Corpus().entries(structs).to_pylist()[2])


def test_a_damaged_struct_is_refused(structs: Folder):
    entry = Corpus().entries(structs).to_pylist()[0]
    whole = structs.read(entry["path"])
    other = io.BytesIO()
    savemat(other, {"ECG": {"sex": "Male", "age": 50, "data": np.zeros((3, 100))}})
    nothing = io.BytesIO()
    savemat(nothing, {"val": np.zeros((12, 100))})
    damaged = [whole[: len(whole) // 2], b"", b"garbage" * 100, other.getvalue(), nothing.getvalue()]
    random = np.random.default_rng(0)
    for _ in range(30):
        mutated = bytearray(whole)
        for place in random.integers(0, 400, 4):
            mutated[place] = random.integers(256)
        damaged.append(bytes(mutated))
    outcomes = [_outcome(structs, entry, content) for content in damaged]
    assert outcomes[:5] == ["unreadable-signal"] * 5
    assert set(outcomes) <= {"unreadable-signal", "twelve leads"}


def _outcome(source: Folder, entry: dict, content: bytes) -> str:
    source.write(entry["path"], content)
    try:
        record = Corpus().read(source, entry)
    except Refusal as refusal:
        return refusal.reason
    return "twelve leads" if len(record.ecg.samples) == 12 else "something else"


def test_labels_in_words_agree_with_the_published_split_files(real: Path):
    source = Folder(str(real / "cpsc-2018-cinc2020-form"))
    published = {}
    for split in ("train", "val", "test"):
        with open(real / "splits-merl" / "icbeb" / f"icbeb_{split}.csv") as file:
            published |= {row["filename"]: row for row in csv.DictReader(file)}
    records = [Corpus().read(source, entry) for entry in Corpus().entries(source).to_pylist()]
    assert len(records) == 17
    for record in records:
        row = published[record.path]
        theirs = {ours for ours, name in zip(CLASSES, MERL, strict=True) if row[name] == "1"}
        assert set(record.labels["all"]) == theirs
        assert record.age == float(row["age"])
    lengths = {record.ecg.samples.shape[1] for record in records}
    assert (min(lengths), max(lengths)) == (5000, 15687)
    assert all(record.time is None for record in records)  # headers give the day of the conversion


def test_codes_are_those_that_the_challenge_counts_in_cpsc(real: Path):
    counted = set()
    for table in ("scored", "unscored"):
        with open(real / "cinc-2021-scoring" / f"dx_mapping_{table}.csv") as file:
            counted |= {row["SNOMEDCTCode"] for row in csv.DictReader(file) if row["CPSC"] != "0"}
    assert counted == set(CODES)
    assert sorted(CODES.values()) == sorted(CLASSES)


def test_an_empty_folder_says_what_is_expected(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"REFERENCE\.csv"):
        Corpus().entries(Folder(str(tmp_path)))
