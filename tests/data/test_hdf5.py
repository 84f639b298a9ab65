import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecgfm.data import hdf5
from ecgfm.data.quality import Refusal
from ecgfm.data.storage import Folder


@pytest.fixture
def tracings() -> np.ndarray:
    padded = np.zeros((3, 100, 12), np.float32)
    padded[0, 20:70] = np.random.default_rng(0).normal(size=(50, 12))
    padded[0, 40] = 0  # silence within the recording is part of it
    padded[0, 20, 1:] = 0  # and so is an end at which one lead speaks
    padded[1] = 1
    return padded


@pytest.fixture
def tree(tmp_path: Path, tracings: np.ndarray) -> Folder:
    with h5py.File(tmp_path / "part.hdf5", "w") as file:
        file.create_dataset("tracings", data=tracings, chunks=(1, 100, 12), compression="gzip")
    return Folder(str(tmp_path))


def test_only_the_padding_is_cut_off(tree: Folder, tracings: np.ndarray):
    assert np.array_equal(hdf5.tracing(tree, "part.hdf5#0"), tracings[0, 20:70].T)
    assert np.array_equal(hdf5.tracing(tree, "part.hdf5#1"), tracings[1].T)
    assert hdf5.tracing(tree, "part.hdf5#2").shape == (12, 0)


def test_a_file_in_an_object_store(tree: Folder, tracings: np.ndarray):
    store = Folder("mock:///corpus")  # pyarrow's file system in memory
    store.write("part.hdf5", tree.read("part.hdf5"))
    assert not store.is_local
    assert np.array_equal(hdf5.tracing(store, "part.hdf5#0"), tracings[0, 20:70].T)


@pytest.mark.parametrize("path", ["part.hdf5#3", "part.hdf5#-1", "other.hdf5#0"])
def test_a_row_that_is_not_there_is_refused(tree: Folder, path: str):
    with pytest.raises(Refusal, match="missing-file"):
        hdf5.tracing(tree, path)


def test_a_damaged_file_is_refused(tree: Folder):
    whole = tree.read("part.hdf5")
    tree.write("text.hdf5", b"<html>not found</html>")
    tree.write("half.hdf5", whole[: len(whole) // 2])
    tree.write("bits.hdf5", whole[:-600] + bytes(600))
    for name in ("text", "half", "bits"):
        with pytest.raises(Refusal, match="unreadable-signal"):
            hdf5.tracing(tree, f"{name}.hdf5#1")


def test_an_error_of_the_disk_is_none_of_the_file(tree: Folder):
    """It is passed on, so that the reading is tried again."""
    Path(tree.path("folder.hdf5")).mkdir()
    with pytest.raises(IsADirectoryError):
        hdf5.tracing(tree, "folder.hdf5#0")
    hdf5.tracing(tree, "part.hdf5#0")
    (descriptor,) = (
        link.name for link in Path("/proc/self/fd").iterdir() if link.resolve() == Path(tree.path("part.hdf5"))
    )
    folder = os.open(tree.path(), os.O_RDONLY)
    os.dup2(folder, int(descriptor))  # whoever reads the file from now on reads a folder
    os.close(folder)
    with pytest.raises(IsADirectoryError):
        hdf5.tracing(tree, "part.hdf5#1")
    hdf5._opened.cache_clear()


def test_a_list_tells_the_class_of_the_error_and_no_more(tree: Folder):
    Path(tree.path("folder.hdf5")).mkdir()
    refused = pytest.raises(ValueError, match=r"folder.hdf5 in \S+ cannot be opened \(IsADirectoryError\)")
    with refused, hdf5.told(tree, "folder.hdf5"):
        hdf5.dataset(tree, "folder.hdf5", "exam_id")
