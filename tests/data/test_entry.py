from datetime import datetime

import numpy as np

from ecgfm.data import entry
from ecgfm.data.record import LEADS, Signal

SIGNAL = (Signal("ecg", LEADS[:1], 500.0, np.zeros((1, 5), np.int16), (1.0,), (0.0,)),)


def test_columns_that_a_corpus_lacks_are_null():
    table = entry.table({"path": ["a", "b"], "subject": ["1", "2"], "age": np.array([30, np.nan])})
    assert table.schema == entry.SCHEMA
    assert table["age"].to_pylist() == [30, None]
    assert table["labels"].null_count == 2


def test_headers_without_a_table_are_subjects_of_their_own():
    table = entry.of_headers(["g1/A1.hea", "g2/A2.hea"])
    assert table.select(["path", "subject"]).to_pylist() == [
        {"path": "g1/A1", "subject": "A1"},
        {"path": "g2/A2", "subject": "A2"},
    ]


def test_the_table_counts_before_the_recording():
    columns = {
        "path": ["a"],
        "subject": ["s"],
        "age": [30],
        "time": [datetime(2020, 1, 1)],
        "labels": [[("all", ["x", "y"])]],
        "measurements": [[("rr", 800.0)]],
    }
    row = entry.table(columns).to_pylist()[0]
    record = entry.record(row, SIGNAL, age=40.0, sex="F", labels={"all": ("z",)})
    assert (record.path, record.subject, record.signals) == ("a", "s", SIGNAL)
    assert (record.age, record.sex, record.time, record.report, record.fold) == (
        30,
        "F",
        datetime(2020, 1, 1),
        None,
        None,
    )
    assert (record.labels, record.measurements) == ({"all": ("x", "y")}, {"rr": 800.0})
