from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import resample_poly

from ecgfm.data.record import LEADS
from ecgfm.data.sources.ptb_xl import Corpus
from ecgfm.data.storage import Folder

SIZES = {"all": 71, "diag": 44, "sub": 23, "super": 5, "form": 19, "rhythm": 12}


@pytest.fixture(scope="module")
def source(real: Path) -> Folder:
    return Folder(str(real / "ptb-xl"))


def label_sets(source: Folder) -> pd.DataFrame:
    entries = Corpus().entries(source)
    return pd.DataFrame([dict(labels) for labels in entries["labels"].to_pylist()], index=entries["path"].to_pylist())


@pytest.mark.parametrize(
    ("ours", "theirs"), [("super", "super_class"), ("sub", "sub_class"), ("form", "form"), ("rhythm", "rhythm")]
)
def test_labels_agree_with_the_published_split_files(source: Folder, real: Path, ours: str, theirs: str):
    """Compared by file and column name: their columns do not stand in one order."""
    folder = real / "splits-merl" / "ptbxl" / theirs
    published = pd.concat([pd.read_csv(file) for file in sorted(folder.glob("*.csv"))]).set_index("filename_hr")
    names = list(published.columns[5:])
    labels = label_sets(source)[ours]
    overlap = labels.index.intersection(published.index)
    assert len(names) == SIZES[ours]
    assert len(overlap) >= {"super": 301, "sub": 301, "form": 72, "rhythm": 283}[ours]
    for path, row in published.loc[overlap, names].iterrows():
        assert set(labels[path]) == set(row.index[row == 1])


def one_record(folder: Path, source: Folder, **columns: object) -> Folder:
    """The publisher's tables, with some columns of their first record as asked for."""
    database = pd.read_csv(source.path("ptbxl_database.csv")).iloc[:1]
    database.assign(**columns).to_csv(folder / "ptbxl_database.csv", index=False)
    (folder / "scp_statements.csv").write_bytes(source.read("scp_statements.csv"))
    return Folder(str(folder))


def test_a_record_with_every_statement_has_every_label(source: Folder, tmp_path: Path):
    statements = pd.read_csv(source.path("scp_statements.csv"), index_col=0).index
    full = one_record(tmp_path, source, scp_codes=str(dict.fromkeys(statements, 0.0)))
    labels = label_sets(full).iloc[0]
    assert {name: len(set(found)) for name, found in labels.items()} == SIZES
    assert not [name for found in labels for name in found if "_" in name]


def test_a_statement_of_another_version_is_named(source: Folder, tmp_path: Path):
    with pytest.raises(ValueError, match=r"scp_statements\.csv lacks NEWEST"):
        label_sets(one_record(tmp_path, source, scp_codes="{'NORM': 100.0, 'NEWEST': 0.0}"))


def test_a_code_at_likelihood_zero_counts(source: Folder):
    labels = label_sets(source)  # the first record lists {'NORM': 100.0, 'LVOLT': 0.0, 'SR': 0.0}
    first = labels.loc["records500/00000/00001_hr"]
    assert (set(first["all"]), set(first["form"]), set(first["rhythm"])) == ({"NORM", "LVOLT", "SR"}, {"LVOLT"}, {"SR"})


def test_the_rest_of_the_table(source: Folder):
    first = Corpus().entries(source).to_pylist()[0]
    assert (first["subject"], first["age"], first["sex"], first["fold"]) == ("15709", 56, "F", 3)
    assert first["time"] == datetime(1984, 11, 9, 9, 17, 34)
    assert first["report"] == "sinusrhythmus periphere niederspannung"
    assert first["split"] == "train"


@pytest.mark.parametrize(
    ("fold", "age", "split", "years"), [(8, 300, "train", 90), (9, 89, "valid", 89), (10, np.nan, "test", None)]
)
def test_folds_split_and_the_oldest_are_ninety(
    source: Folder, tmp_path: Path, fold: int, age: float, split: str, years: float | None
):
    entry = Corpus().entries(one_record(tmp_path, source, strat_fold=fold, age=age)).to_pylist()[0]
    assert (entry["fold"], entry["split"], entry["age"]) == (fold, split, years)


def test_leads_are_found_by_name_in_any_case_and_obey_the_identities(source: Folder):
    for entry in Corpus().entries(source).slice(0, 20).to_pylist():
        ecg = Corpus().read(source, entry).ecg
        assert (ecg.names, ecg.rate, ecg.samples.shape) == (LEADS, 500.0, (12, 5000))
        one, two, three, avr, avl, avf = ecg.physical()[:6]
        for lead, expected in ((three, two - one), (avr, -(one + two) / 2), (avl, one - two / 2), (avf, two - one / 2)):
            assert np.median(np.abs(lead - expected)) <= 0.002  # mV


def test_a_hundred_hertz_is_the_same_recording(source: Folder):
    low, high = Corpus(rate=100), Corpus()
    pairs = zip(low.entries(source).to_pylist(), high.entries(source).to_pylist(), strict=True)
    for of_low, of_high in list(pairs)[:10]:
        slow, fast = low.read(source, of_low).ecg, high.read(source, of_high).ecg
        assert (slow.rate, slow.samples.shape) == (100.0, (12, 1000))
        decimated = resample_poly(fast.physical(), 1, 5, axis=1)
        assert np.corrcoef(decimated.ravel(), slow.physical().ravel())[0, 1] > 0.9
