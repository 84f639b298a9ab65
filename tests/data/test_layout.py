import numpy as np
import pyarrow as pa
import pytest
from made import Corpus

from ecgfm.data import entry as rows
from ecgfm.data.layout import Layout, lay_out
from ecgfm.data.storage import Folder

LAYOUT = Layout(rows=100, chunk=8)


def entries(records: int = 2000) -> pa.Table:
    return Corpus(records).entries(Folder("."))


def test_every_record_stands_once() -> None:
    laid_out = lay_out(entries(), LAYOUT)
    assert sorted(laid_out["path"].to_pylist()) == sorted(entries()["path"].to_pylist())


def test_subjects_are_in_one_shard_and_one_split() -> None:
    laid_out = lay_out(entries(), LAYOUT)
    shards_of: dict[str, set[str]] = {}
    for subject, shard in zip(laid_out["subject"].to_pylist(), laid_out["shard"].to_pylist(), strict=True):
        shards_of.setdefault(subject, set()).add(shard)
    assert max(map(len, shards_of.values())) == 1


def test_a_subject_is_an_index_that_tells_nothing() -> None:
    laid_out = lay_out(entries(), LAYOUT)
    pairs = {*zip(laid_out["subject"].to_pylist(), laid_out["index"].to_pylist(), strict=True)}
    numbers = [number for _, number in sorted(pairs, key=lambda pair: int(pair[0][1:]))]
    assert sorted(numbers) == list(range(len(numbers)))  # one number each
    assert abs(np.corrcoef(numbers, range(len(numbers)))[0, 1]) < 0.2  # not in the publisher's order


def test_shards_are_about_as_long_as_asked() -> None:
    counts = np.unique(np.array(lay_out(entries(), LAYOUT)["shard"]), return_counts=True)[1]
    assert counts.max() < 150
    assert len(counts) < 2000 / 100 + 6


def test_rows_of_a_shard_are_in_random_order() -> None:
    laid_out = lay_out(entries(), LAYOUT)
    index = np.array(laid_out["index"])
    assert np.mean(index[1:] == index[:-1]) < 0.1  # neighbours are seldom one subject's: sorted, 0.68 would be


def test_the_split_of_a_subject_does_not_change_with_others() -> None:
    few, many = (
        dict(zip(t["subject"].to_pylist(), (n.partition("-")[0] for n in t["shard"].to_pylist()), strict=True))
        for t in (lay_out(entries(500), LAYOUT), lay_out(entries(2000), LAYOUT))
    )
    assert all(many[subject] == split for subject, split in few.items())


def test_the_publishers_split_is_kept() -> None:
    published = rows.table(
        {"path": list("abcd"), "subject": list("wxyz"), "split": ["test", "train", "valid", "train"]}
    )
    laid_out = lay_out(published, LAYOUT)
    shards = dict(zip(laid_out["path"].to_pylist(), laid_out["shard"].to_pylist(), strict=True))
    assert {path: shard.partition("-")[0] for path, shard in shards.items()} == {
        "a": "test",
        "b": "train",
        "c": "valid",
        "d": "train",
    }


def test_a_subject_in_two_splits_is_refused() -> None:
    leaking = rows.table({"path": ["a", "b"], "subject": ["x", "x"], "split": ["train", "test"]})
    with pytest.raises(ValueError, match="1 subjects stand in more than one split"):
        lay_out(leaking, LAYOUT)
