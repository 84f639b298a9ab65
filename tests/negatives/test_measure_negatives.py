"""The command that makes the table of README.md, on little."""

import runpy

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY

from ecgfm.model import local_t5

TEXTS = [
    f"{rhythm}. {finding}" for rhythm in ("sinus rhythm", "a-fib") for finding in ("lbbb", "rbbb", "pvcs", "normal ecg")
]


@pytest.fixture
def main(monkeypatch):
    main = runpy.run_path(str(REPOSITORY / "tools" / "measure_negatives.py"))["main"]
    monkeypatch.setitem(main.__globals__, "ROWS", 3000)
    return main


def rows(printed: str) -> dict[str, list[float]]:
    lines = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("|")]
    return {name: [float(cell) for cell in cells if cell] for name, *cells in lines[2:]}


def test_reports_of_ptb_xl(main, real, capsys):
    main(ptb_xl=str(real / "ptb-xl"))
    found = rows(capsys.readouterr().out)
    assert found["64 farthest"][0] > 0.7
    assert found["0.0 to 0.5, balanced"][0] < 0.55
    assert len(found) == 18


def test_synthetic_reports(main, capsys):
    main(synthetic=400)
    found = rows(capsys.readouterr().out)
    assert found["0.0 to 0.5, balanced"][-1] < found["any record's report"][-1]


def test_the_training_records_of_shards_by_a_language_model(main, tmp_path, capsys, monkeypatch):
    columns = {"report_id": range(8), "text": TEXTS, "count": [9] * 8, "train": [5, 4, 3, 2, 1, 1, 1, 0]}
    pq.write_table(pa.table(columns), tmp_path / "reports.parquet")
    local_t5.make(TEXTS, tmp_path / "model", heads=1)
    monkeypatch.setitem(main.__globals__, "ROWS", 400)
    main(shards=str(tmp_path), encoder=str(tmp_path / "model"))
    printed = capsys.readouterr().out
    assert "17 records" in printed
    assert "their reports: 7 distinct" in printed
    assert "their far lists: 7 distinct" in printed
    assert rows(printed)["any report"][4] == 7
    with pytest.raises(SystemExit, match="name one source"):
        main()
