import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecgfm.data.record import LEADS
from ecgfm.data.sources.table import Corpus
from ecgfm.data.storage import Folder

MAPPED = Corpus(table="visits.csv", path="file", subject="who", time="when", report="findings", labels="codes")
VISITS = """file,who,when,findings,codes,more
a/one.hea,7,2024-05-31 12:00:00,"*** Sinus  RHYTHM ***",SR; LAD;SR,x
a/two,8,2024-06-01T09:30:01,,,y
"""


@pytest.fixture
def tree(tmp_path: Path, samples: np.ndarray, write_record: Callable[..., None]) -> Folder:
    (tmp_path / "visits.csv").write_text(VISITS)
    comments = ["# Age: 41", "# Sex: F"]
    write_record(tmp_path / "a" / "one", samples, "08:00:00 01/02/2020", names=LEADS, comments=comments)
    write_record(tmp_path / "a" / "two", samples[:2], names=LEADS[:2])
    return Folder(str(tmp_path))


def check(corpus: Corpus, tree: Folder) -> None:
    one, two = corpus.entries(tree).to_pylist()
    assert (one["path"], one["subject"], one["time"]) == ("a/one", "7", datetime(2024, 5, 31, 12))
    assert (one["report"], dict(one["labels"])) == ("sinus rhythm", {"all": ["SR", "LAD"]})
    assert (two["report"], dict(two["labels"]), two["time"]) == (None, {"all": []}, datetime(2024, 6, 1, 9, 30, 1))
    record = corpus.read(tree, one)
    assert (record.age, record.sex, record.labels, record.time) == (41, "F", {"all": ("SR", "LAD")}, one["time"])
    assert corpus.read(tree, two).ecg.names == ("I", "II")


def test_columns_of_a_csv(tree: Folder):
    check(MAPPED, tree)


def test_columns_of_a_parquet_with_types_of_its_own(tree: Folder):
    rows = {
        "file": ["a/one.hea", "a/two"],
        "who": [7, 8],
        "when": [datetime(2024, 5, 31, 12), datetime(2024, 6, 1, 9, 30, 1, 500)],
        "findings": ["Sinus rhythm", None],
        "codes": ["SR;LAD", ""],
    }
    pq.write_table(pa.table(rows), tree.path("visits.parquet"))
    fields = {**vars(MAPPED), "table": "visits.parquet"}
    check(Corpus(**fields), tree)


@pytest.mark.parametrize(
    "kind", [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "Asia/Tokyo")]
)
def test_times_of_a_parquet_in_any_unit_and_zone(tree: Folder, kind: pa.TimestampType):
    when = pa.array([1_717_156_800_987_654_321, None], pa.timestamp("ns")).cast(kind, safe=False)
    pq.write_table(pa.table({"when": when, "file": ["a/one", "a/two"]}), tree.path("visits.parquet"))
    entries = Corpus(table="visits.parquet", path="file", time="when").entries(tree).to_pylist()
    assert [entry["time"] for entry in entries] == [datetime(2024, 5, 31, 12), None]


def test_what_is_not_named_is_absent(tree: Folder):
    corpus = Corpus(table="visits.csv", path="file")
    one, _ = corpus.entries(tree).to_pylist()
    assert one["subject"] == "a/one.hea"
    assert (one["time"], one["report"], one["labels"]) == (None, None, None)
    assert corpus.read(tree, one).time == datetime(2020, 2, 1, 8)  # the header's


def test_another_separator(tree: Folder):
    Path(tree.path("visits.csv")).write_text(VISITS.replace(";", "|"))
    one, _ = Corpus(table="visits.csv", path="file", labels="codes", separator="|").entries(tree).to_pylist()
    assert dict(one["labels"]) == {"all": ["SR", "LAD"]}


def test_a_wrong_name_answers_with_the_nearest_right_one(tree: Folder):
    with pytest.raises(ValueError, match=r"no column 'finding' \(nearest: 'findings'\)"):
        Corpus(table="visits.csv", path="file", report="finding").entries(tree)
    pq.write_table(pa.table({"file": ["a/one"]}), tree.path("visits.parquet"))
    with pytest.raises(ValueError, match=r"no column 'files' \(nearest: 'file'\)"):
        Corpus(table="visits.parquet", path="files").entries(tree)
    with pytest.raises(FileNotFoundError, match=r"no records\.csv"):
        Corpus().entries(tree)


def test_times_that_are_none_are_not_quoted(tree: Folder):
    Path(tree.path("visits.csv")).write_text(VISITS.replace("2024-06-01T09:30:01", "last Monday"))
    with pytest.raises(ValueError, match="column 'when'") as caught:
        MAPPED.entries(tree)
    assert "Monday" not in str(caught.value)


def test_a_row_without_a_path_is_an_error(tree: Folder):
    shutil.copy(tree.path("visits.csv"), tree.path("more.csv"))
    with open(tree.path("more.csv"), "a") as file:
        file.write(",9,,,,\n")
    with pytest.raises(ValueError, match="rows without a file"):
        Corpus(table="more.csv", path="file", subject="who").entries(tree)
