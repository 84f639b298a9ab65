import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecgfm.data.record import LEADS
from ecgfm.data.sources.code_15 import ABNORMALITIES
from ecgfm.data.sources.code_test import READERS, Corpus
from ecgfm.data.storage import Folder

POSITIVES = {"1dAVb": 28, "RBBB": 34, "LBBB": 30, "SB": 16, "AF": 13, "ST": 37}  # of the gold standard, as published
README_ORDERS = (LEADS, (*LEADS[:3], "aVL", "aVF", "aVR", *LEADS[6:]))  # the publisher's two descriptions


@pytest.fixture
def tree(tmp_path: Path, real: Path, samples: np.ndarray, request: pytest.FixtureRequest) -> Folder:
    """The publisher's tables, and tracings of ours: in 1e-4 V, zeros around them, leads in the order asked for."""
    order = getattr(request, "param", LEADS)
    shutil.copytree(real / "code-test", tmp_path / "data")
    shifted = np.zeros((40, 4096, 12), np.float32)
    for number, tracing in enumerate(shifted):
        millivolts = np.roll(samples, 50 * number, axis=1)[[LEADS.index(lead) for lead in order], :2800] / 1000
        tracing[648:3448] = 10 * millivolts.T
    with h5py.File(tmp_path / "data" / "ecg_tracings.hdf5", "w") as file:
        file["tracings"] = shifted
    return Folder(str(tmp_path))


def test_every_reader_is_a_label_set(tree: Folder):
    entries = Corpus().entries(tree).to_pylist()
    assert len(entries) == 827
    assert [name for name, _ in entries[0]["labels"]] == list(READERS)
    gold = [dict(e["labels"])["gold_standard"] for e in entries]
    assert {name: sum(name in found for found in gold) for name in ABNORMALITIES} == POSITIVES
    second = dict(entries[1]["labels"])
    assert (second["cardiologist1"], second["cardiologist2"], second["dnn"]) == ([], ["LBBB"], ["LBBB"])
    assert {e["split"] for e in entries} == {"test"}
    assert (entries[0]["age"], entries[0]["sex"], entries[1]["sex"]) == (34, "M", "F")
    assert entries[0]["path"] == "data/ecg_tracings.hdf5#0"
    within = Corpus().entries(Folder(tree.path("data")))
    assert within["path"][0].as_py() == "ecg_tracings.hdf5#0"


@pytest.mark.parametrize("tree", README_ORDERS, indirect=True)
def test_leads_are_in_order_whichever_description_holds(tree: Folder, samples: np.ndarray):
    entries = Corpus().entries(tree).slice(0, 40).to_pylist()
    record = Corpus().read(tree, entries[1])
    assert (record.ecg.names, record.ecg.rate) == (LEADS, 400.0)
    expected = np.roll(samples, 50, axis=1)[:, :2800] / 1000
    assert np.allclose(record.ecg.physical(), expected, atol=1e-5)  # millivolts


def test_tracings_that_cannot_be_named_are_found_out_at_once(tree: Folder):
    with h5py.File(tree.path("data/ecg_tracings.hdf5"), "w") as file:
        file["tracings"] = np.random.default_rng(0).normal(size=(40, 4096, 12))
    with pytest.raises(ValueError, match=r"data/ecg_tracings\.hdf5 .*the limb leads do not explain them"):
        Corpus().entries(tree)


def test_missing_files_are_named(tree: Folder):
    Path(tree.path("data/ecg_tracings.hdf5")).unlink()
    with pytest.raises(FileNotFoundError, match=r"data/ecg_tracings\.hdf5"):
        Corpus().entries(tree)
    Path(tree.path("data/attributes.csv")).unlink()
    with pytest.raises(FileNotFoundError, match=r"attributes\.csv"):
        Corpus().entries(tree)
