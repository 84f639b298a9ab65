import shutil
from pathlib import Path

import numpy as np
import pytest

from ecgfm.data import wfdb
from ecgfm.data.record import LEADS, Record
from ecgfm.data.sources.cinc_2021 import SETS, Corpus
from ecgfm.data.storage import Folder

FOLDERS = {"E": "georgia", "HR": "ptb-xl", "JS": "ningbo"}


@pytest.fixture
def tree(tmp_path: Path, real: Path) -> Path:
    """The archive's layout around the real recordings, one recording under each set that has none of its own."""
    for prefix, name in FOLDERS.items():
        folder = tmp_path / "training" / name / "g1"
        folder.mkdir(parents=True)
        for file in (real / "cinc-2021-form" / "cinc2021").glob(f"{prefix}*"):
            shutil.copy(file, folder)
    for name in set(SETS) - set(FOLDERS.values()):
        folder = tmp_path / "training" / name / "g1"
        folder.mkdir(parents=True)
        for suffix in (".hea", ".mat"):
            shutil.copy(real / "cpsc-2018-cinc2020-form" / f"A0003{suffix}", folder)
    return tmp_path


def read(tree: Path, corpus: Corpus) -> dict[str, Record]:
    source = Folder(str(tree))
    return {e["subject"]: corpus.read(source, e) for e in corpus.entries(source).to_pylist()}


def test_all_eight_folders_are_read(tree: Path):
    paths = Corpus().entries(Folder(str(tree)))["path"].to_pylist()
    assert {path.split("/")[1] for path in paths} == set(SETS)
    assert len(paths) == 50 + 5
    assert len(Corpus().entries(Folder(str(tree / "training")))) == 55


def test_labels_scored_and_all(tree: Path):
    records = read(tree, Corpus(sets=tuple(FOLDERS.values())))
    assert len(records) == 50
    assert records["E07509"].labels == {"scored": ("CRBBB|RBBB", "SB"), "all": ("RBBB", "SB")}
    assert records["E07505"].labels == {"scored": (), "all": ("LVH",)}
    js = records["JS20000"]  # 284470004,427084000,698252002,55930002
    assert js.labels == {"scored": ("PAC|SVPB", "STach", "NSIVCB"), "all": ("PAC", "STach", "NSIVCB", "STC")}
    assert (js.age, js.sex, js.time) == (84, "F", None)


def test_words_in_the_oldest_headers_are_kept(tree: Path):
    record = read(tree, Corpus(sets=("cpsc_2018",)))["A0003"]
    assert record.labels == {"scored": (), "all": ("AF",)}


def test_copies_are_told_by_their_content(tree: Path):
    records = read(tree, Corpus(sets=("georgia",)))
    assert np.array_equal(records["E07509"].ecg.samples, records["E07510"].ecg.samples)


@pytest.mark.parametrize("leads", ["two", "three", "four", "six"])
def test_a_record_of_fewer_leads_equals_the_matching_rows(tree: Path, real: Path, leads: str):
    source, whole = Folder(str(real / "reduced-leads" / f"{leads}_leads")), read(tree, Corpus(tuple(FOLDERS.values())))
    names = sorted(name.removesuffix(".hea") for name in source.names(suffix=".hea"))
    assert len(names) == 3  # one of them with ".mat" in its record line
    for name in names:
        few, twelve = wfdb.read(source, name).signals[0], whole[name].ecg
        assert np.array_equal(few.samples, twelve.samples[[LEADS.index(lead) for lead in few.names]])


def test_missing_folders_are_named(tree: Path):
    shutil.rmtree(tree / "training" / "ptb")
    with pytest.raises(FileNotFoundError, match=r"training/\{ptb\}.*--corpus\.sets"):
        Corpus().entries(Folder(str(tree)))
