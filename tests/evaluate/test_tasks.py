from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled import Made, write

from ecgfm.batch import locate
from ecgfm.data.storage import Folder
from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.evaluate import tasks
from ecgfm.evaluate.tasks import Task


@pytest.mark.parametrize("kind", ["set", "table"])
def test_labels_are_those_of_the_records(made: Made, kind: str):
    task = Task(made.shards, {"set": "findings", "table": made.table}[kind], least=3)
    examined = tasks.read(task)
    assert task.name == {"set": "made-up/findings", "table": "made-up/factors"}[kind]
    for number, (split, cohort) in enumerate(examined.splits.items()):
        _, shard, row = locate(cohort.record)
        assert set(shard) == {number}
        visits = [made.visits[split][i] for i in row]
        assert cohort.subject.tolist() == [visit.subject.index for visit in visits]
        expected = np.array([[visit.present[name] for name in examined.names] for visit in visits])
        np.testing.assert_array_equal(cohort.labels, expected)
        if kind == "table":
            severe = np.array([[visit.severity[name] for name in examined.names] for visit in visits], np.float32)
            np.testing.assert_array_equal(cohort.severity, severe)


def test_rare_labels_are_dropped_by_name(made: Made):
    examined = tasks.read(Task(made.shards, made.table, least=6))
    test = np.array([[visit.present[name] for name in FINDINGS] for visit in made.visits["test"]])
    rare = {name: n for name, n in zip(FINDINGS, test.sum(0), strict=True) if min(n, len(test) - n) < 6}
    assert rare.keys() <= examined.dropped.keys()
    assert {*examined.names} | {*examined.dropped} == {*FINDINGS}
    some = min(rare)
    assert examined.dropped[some] == f"{rare[some]} of {len(test)} test records have it"
    with pytest.raises(ValueError, match="no label can be scored"):
        tasks.read(Task(made.shards, made.table, least=1000))


def test_a_subject_in_two_splits_is_found_out(made: Made, tmp_path: Path):
    some = made.records["train"][:4]
    records = {split: [replace(r, path=f"{split}{i}") for i, r in enumerate(some)] for split in made.records}
    write(Folder(str(tmp_path)), records)
    with pytest.raises(ValueError, match="subjects stand in more than one split"):
        tasks.read(Task(str(tmp_path), "findings", least=1))


def test_what_silence_means(made: Made, tmp_path: Path):
    """In CODE a recording without any of the six findings is normal; elsewhere nobody has said anything of it."""
    silent = {
        s: [replace(r, labels={"findings": ()}) if i % 2 else r for i, r in enumerate(f)]
        for s, f in made.records.items()
    }
    for corpus, kept in (("code-15", 1), ("made-up", 2)):
        write(Folder(str(tmp_path / corpus)), silent, corpus)
        splits = tasks.read(Task(str(tmp_path / corpus), "findings", least=1)).splits
        assert {s: len(c) for s, c in splits.items()} == {s: -(-len(f) // kept) for s, f in made.records.items()}


def test_tasks_by_name(made: Made, tmp_path: Path):
    write(Folder(str(tmp_path / "other")), {s: f[:2] for s, f in made.records.items()}, "other")
    both = [made.shards, str(tmp_path / "other")]
    of = lambda *asked: [task.name for task in tasks.find(both, asked, 1)]  # noqa: E731
    assert of() == ["made-up/findings", "other/findings"]
    assert of("other", made.table) == ["other/findings", "made-up/factors"]
    assert of(f"other={made.table}", "made-up/findings") == ["other/factors", "made-up/findings"]
    with pytest.raises(ValueError, match="did you mean made-up"):
        of("made_up/findings")
    with pytest.raises(ValueError, match="give each once"):
        tasks.find([made.shards, made.shards], (), 1)
    with pytest.raises(ValueError, match="no label set 'super'; its sets: findings"):
        tasks.read(Task(made.shards, "super"))


def test_a_table_that_is_none(made: Made, tmp_path: Path):
    pq.write_table(pa.table({"path": ["a"], "age": [3]}), tmp_path / "ages.parquet")
    with pytest.raises(ValueError, match="no table of labels"):
        tasks.read(Task(made.shards, str(tmp_path / "ages.parquet")))
