"""What headers say, and what they leave out."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from wfdb_files import put, waves

from ecgfm.data import wfdb
from ecgfm.data.storage import Folder
from ecgfm.data.wfdb_header import demographics, parse


def test_what_a_header_leaves_out_is_what_the_standard_says(tmp_path: Path):
    samples = waves(1, 3000)
    files = {"r.hea": b"# before\n\n r 1\r\n\nr.dat 16\n", "r.dat": samples.T.tobytes()}
    header, rows = wfdb.decode(put(tmp_path, files), "r")
    assert (header.rate, header.length, header.time, header.comments) == (250, None, None, ("before",))
    assert np.array_equal(rows[0], samples[0])
    assert header.channels[0][5:] == (200, 0, "mV", None, None, "")
    assert parse("r 1 100 3000\nr.dat 212 200 11 1024 5 6 0 V5").channels[0].baseline == 1024  # the ADC's zero


@pytest.mark.parametrize(
    ("said", "time"),
    [
        ("12:04:00 22/09/2182", datetime(2182, 9, 22, 12, 4)),
        (" 8:26:04 26/10/1994", datetime(1994, 10, 26, 8, 26, 4)),
        ("05-Feb-2020 11:39:16", datetime(2020, 2, 5, 11, 39, 16)),
        ("00:00:00.125 01/01/2000", datetime(2000, 1, 1, 0, 0, 0, 125000)),
        ("05-Foo-2020 11:39:16", None),
        ("11:39:16 31/02/2020", None),
        ("11:39:16", None),
    ],
)
def test_time(said: str, time: datetime | None):
    assert parse(f"r 0 100 600 {said}").time == time


@pytest.mark.parametrize(
    ("comments", "found"),
    [
        (["Age: 64", "Sex: Female"], (64, "F")),
        (["<age>: 25  <sex>: M  <diagnoses>: (none)  <medications>: (none)"], (25, "M")),
        (["<age>: 51", "<sex>: F", "<diagnoses>:"], (51, "F")),
        (["Age: NaN", "Sex: Unknown"], (None, None)),
        (["Dx: 164889003", "stage: 3", "sexagesimal 7"], (None, None)),
        ([], (None, None)),
    ],
)
def test_demographics(comments: list[str], found: tuple[float | None, str | None]):
    assert demographics(tuple(comments)) == found


def test_comments_come_without_their_marks(real: Path):
    """Trap 8: `#Dx:` and `# Dx:`."""
    one = wfdb.read(Folder(str(real)), "cpsc-2018-cinc2020-form/A0003")
    two = wfdb.read(Folder(str(real)), "cinc-2021-form/cinc2021/E07500")
    assert (one.age, one.sex, "Dx: AF" in one.comments) == (81, "F", True)
    assert (two.age, two.sex, "Dx: 67741000119109,426177001" in two.comments) == (78, "M", True)
