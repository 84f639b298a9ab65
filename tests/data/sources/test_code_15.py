from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import loadmat

from ecgfm.data.quality import Refusal
from ecgfm.data.record import LEADS
from ecgfm.data.sources.code_15 import Corpus
from ecgfm.data.storage import Folder

HEADER = "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file"
EXAMS = f"""{HEADER}
1238362,61,True,59.2,False,False,False,False,True,False,648630,,,False,exams_part5.hdf5
438277,46,True,38.7,True,False,False,False,False,False,185323,,,False,exams_part11.hdf5
358121,54,False,44.2,False,True,False,False,False,True,1295924,False,3.846572,True,exams_part11.hdf5
777,54,False,44.2,False,True,False,False,False,True,1295924,False,3.846572,True,exams_part11.hdf5
"""
PARTS = Corpus(parts=(5, 11))


def padded(samples: np.ndarray) -> np.ndarray:
    """As the publisher stores a recording: time by lead, zeros at both ends up to 4,096 samples."""
    before = (4096 - samples.shape[1]) // 2
    return np.pad(samples.T, ((before, 4096 - samples.shape[1] - before), (0, 0)))


@pytest.fixture
def recordings(real: Path) -> dict[int, np.ndarray]:
    files = sorted((real / "code-15" / "org").glob("*.mat"))
    return {int(file.stem.split("_")[-1]): loadmat(file)["feats"] for file in files}


@pytest.fixture
def tree(tmp_path: Path, recordings: dict[int, np.ndarray]) -> Folder:
    (tmp_path / "exams.csv").write_text(EXAMS)
    for part, exams in {5: [1238362], 11: [358121, 438277]}.items():
        with h5py.File(tmp_path / f"exams_part{part}.hdf5", "w") as file:
            file["exam_id"] = [*exams, 0]
            file["tracings"] = np.stack([*(padded(recordings[exam]) for exam in exams), np.zeros((4096, 12), "f4")])
    return Folder(str(tmp_path))


def test_exams_are_found_in_their_parts(tree: Folder):
    entries = PARTS.entries(tree).to_pylist()
    assert [e["path"] for e in entries] == [
        "exams_part5.hdf5#0",
        "exams_part11.hdf5#1",
        "exams_part11.hdf5#0",
        "exams_part11.hdf5#-1",  # listed, and not in the file
    ]  # the last row of a part, exam 0, is none of them
    assert [e["subject"] for e in entries] == ["648630", "185323", "1295924", "1295924"]
    assert [(e["age"], e["sex"]) for e in entries] == [(61, "M"), (46, "M"), (54, "F"), (54, "F")]
    assert dict(entries[1]["labels"]) == {"all": ["1dAVb"], "normal": []}
    assert dict(entries[2]["labels"]) == {"all": ["RBBB", "AF"], "normal": ["normal_ecg"]}


def test_padding_is_cut_off_and_nothing_else(tree: Folder, recordings: dict[int, np.ndarray]):
    for entry, exam in zip(PARTS.entries(tree).to_pylist()[:3], (1238362, 438277, 358121), strict=True):
        ecg = PARTS.read(tree, entry).ecg
        assert (ecg.names, ecg.rate, ecg.samples.dtype) == (LEADS, 400.0, np.float32)
        assert ecg.samples.shape == (12, 2934)
        assert np.array_equal(ecg.samples, recordings[exam])


def test_samples_are_millivolts_in_the_order_of_the_identities(tree: Folder):
    """The step of the cart's converter is 4.9 uV: were the samples 1e-4 V it would be a tenth of that."""
    for entry in PARTS.entries(tree).to_pylist()[:3]:
        one, two, three, avr, avl, avf = PARTS.read(tree, entry).ecg.physical()[:6]
        for lead, expected in ((three, two - one), (avr, -(one + two) / 2), (avl, one - two / 2), (avf, two - one / 2)):
            assert np.median(np.abs(lead - expected)) <= 0.005
        assert 0.5 < np.ptp(two) < 5


def test_an_exam_that_is_not_in_its_part_is_refused(tree: Folder):
    with pytest.raises(Refusal, match="missing-file"):
        PARTS.read(tree, PARTS.entries(tree).to_pylist()[3])


def test_an_all_zero_tracing_has_no_samples(tree: Folder):
    entry = {**PARTS.entries(tree).to_pylist()[0], "path": "exams_part5.hdf5#1"}
    assert PARTS.read(tree, entry).ecg.samples.shape == (12, 0)


def test_parts_that_are_not_there_are_named(tree: Folder):
    with pytest.raises(FileNotFoundError, match=r"exams_part0\.hdf5, .*--corpus\.parts"):
        Corpus().entries(tree)


def test_a_part_that_is_no_hdf5_file_is_named(tree: Folder):
    tree.write("exams_part5.hdf5", b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"exams_part5\.hdf5 in .* is no HDF5 file"):
        PARTS.entries(tree)
    Path(tree.path("exams_part5.hdf5")).unlink()
    Path(tree.path("exams_part5.hdf5")).mkdir()
    with pytest.raises(ValueError, match=r"exams_part5\.hdf5 in .* cannot be opened \(IsADirectoryError\)"):
        PARTS.entries(tree)
