import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from ecgfm.data import mat


def written(variables: dict, compressed: bool = False) -> bytes:
    file = io.BytesIO()
    savemat(file, variables, do_compression=compressed)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "i2", "u1", "i4"])
def test_a_struct_among_other_variables(kind: str, compressed: bool):
    data = (100 * np.random.default_rng(0).normal(size=(12, 50))).astype(kind)
    variables = {"before": np.arange(3), "ECG": {"sex": "Female", "age": 50, "data": data}, "after": "text"}
    found = mat.read(written(variables, compressed), "ECG")
    assert found["sex"] == "Female"
    assert np.array_equal(found["age"], [[50]])
    assert np.array_equal(found["data"], data)
    assert np.asarray(found["data"]).dtype == data.dtype


def test_the_real_files_equal_what_scipy_reads(real: Path):
    for file in (real / "cinc-2021-form" / "cpsc2018").glob("*.mat"):
        theirs, ours = loadmat(file)["ECG"][0, 0], mat.read(file.read_bytes(), "ECG")
        assert np.array_equal(theirs["data"], ours["data"])
        assert (theirs["sex"].item(), theirs["age"].item()) == (ours["sex"], np.asarray(ours["age"]).item())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not found</html>" * 20,
        written({"ECG": np.zeros((12, 5))}),
        written({"other": {"sex": "Male"}}),
        written({"ECG": {"inner": {"data": np.zeros(3)}}}),
        written({"ECG": {"data": np.zeros((12, 500))}})[:-100],
        written({"ECG": {"data": np.zeros((12, 500))}}, compressed=True)[:-20],
    ],
    ids=["empty", "text", "no struct", "another name", "struct in struct", "cut", "cut compressed"],
)
def test_what_is_no_such_struct_is_an_error(content: bytes):
    with pytest.raises(ValueError, match="MAT file"):
        mat.read(content, "ECG")


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damage_does_more_than_raise_a_value_error(compressed: bool, real: Path):
    """The header and the tags are where loadmat falls: damage is put there, 300 times."""
    content = written({"ECG": {"sex": "Male", "age": 50, "data": np.arange(24.0).reshape(12, 2)}}, compressed)
    random, outcomes = np.random.default_rng(1), set()
    for _ in range(300):
        damaged = bytearray(content)
        for place in random.integers(100, len(content), random.integers(1, 6)):
            damaged[place] = random.integers(256)
        outcomes.add(outcome(lambda damaged=damaged: mat.read(bytes(damaged), "ECG")))
    assert outcomes == {"read", "refused"}


def outcome(read: Callable[[], dict]) -> str:
    try:
        read()
    except ValueError:
        return "refused"
    return "read"
