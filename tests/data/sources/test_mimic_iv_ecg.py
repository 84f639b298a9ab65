from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from wfdb_files import MIMIC_ORDER

from ecgfm.data.record import LEADS
from ecgfm.data.sources.mimic_iv_ecg import Corpus
from ecgfm.data.storage import Folder

MEASURED = "rr_interval,p_onset,p_end,qrs_onset,qrs_end,t_end,p_axis,qrs_axis,t_axis"
HEADER = (
    "subject_id,study_id,cart_id,ecg_time," + ",".join(f"report_{i}" for i in range(18))
) + f",bandwidth,filtering,{MEASURED}"
RECORDS = """subject_id,study_id,file_name,ecg_time,path
10000001,40000003,40000003,2180-07-23 08:44:00,files/p1000/p10000001/s40000003/40000003
10000001,40000001,40000001,2180-07-23 09:54:00,files/p1000/p10000001/s40000001/40000001
10000002,40000002,40000002,2161-01-01 00:00:00,files/p1000/p10000002/s40000002/40000002
"""


def cart(subject: int, study: int, lines: dict[int, str], measured: str) -> str:
    reports = ",".join(f'"{lines[i]}"' if i in lines else "" for i in range(18))
    return f"{subject},{study},6848296,2180-07-23 08:44:00,{reports},0.005-150 Hz,60 Hz notch,{measured}"


@pytest.fixture
def tree(tmp_path: Path) -> Folder:
    """Three recordings; the carts know them in another order, one not at all, and know one that was not recorded."""
    full, sparse = "800,40,150,190,290,600,61,29999,35", "0,32767,65535,190,290,29999,61,-13,-400"
    carts = [
        cart(10000002, 40000002, {0: "*** Sinus rhythm", 2: "Normal EKG.", 17: "last, line"}, full),
        cart(10000009, 40000009, {0: "Nobody"}, full),
        cart(10000001, 40000001, {0: "Report made without knowledge of patient's sex"}, sparse),
    ]
    (tmp_path / "record_list.csv").write_text(RECORDS)
    (tmp_path / "machine_measurements.csv").write_text("\n".join([HEADER, *carts]) + "\n")
    return Folder(str(tmp_path))


def test_tables_are_joined_by_subject_and_study(tree: Folder):
    entries = Corpus().entries(tree).to_pylist()
    assert [e["report"] for e in entries] == [None, None, "sinus rhythm. normal ecg. last, line"]
    assert [e["subject"] for e in entries] == ["10000001", "10000001", "10000002"]
    assert entries[0]["time"] == datetime(2180, 7, 23, 8, 44)
    assert entries[2]["path"] == "files/p1000/p10000002/s40000002/40000002"


def test_what_the_cart_could_not_measure_is_absent(tree: Folder):
    unknown, sparse, full = (dict(e["measurements"]) for e in Corpus().entries(tree).to_pylist())
    assert unknown == {}
    assert sparse == {"qrs_onset": 190, "qrs_end": 290, "p_axis": 61, "qrs_axis": -13, "qrs": 100}
    assert full.keys() == {
        "rr", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end", "p_axis", "t_axis", "pr", "qrs", "qt", "hr",
    }  # fmt: skip
    assert (full["pr"], full["qrs"], full["qt"], full["hr"]) == (150, 100, 410, 75)


def test_leads_are_put_in_order_by_name(tree: Folder, samples: np.ndarray, write_record: Callable[..., None]):
    entry = Corpus().entries(tree).to_pylist()[2]
    stem = Path(tree.path(entry["path"]))
    by_lead = dict(zip(LEADS, samples, strict=True))
    on_disk = np.stack([by_lead[lead] for lead in MIMIC_ORDER])
    write_record(stem, on_disk, "00:00:00 01/01/2161", names=MIMIC_ORDER, comments=["# <subject_id>: 10000002"])
    record = Corpus().read(tree, entry)
    assert record.ecg.names == LEADS
    assert np.array_equal(record.ecg.samples, samples)
    assert record.ecg.gain == (200.0,) * 12
    assert (record.subject, record.report) == ("10000002", "sinus rhythm. normal ecg. last, line")
    assert (record.time, record.age, record.sex) == (datetime(2161, 1, 1), None, None)
    assert record.measurements["rr"] == 800


def test_a_folder_without_the_tables_says_which_one_is_expected(tmp_path: Path, tree: Folder):
    with pytest.raises(FileNotFoundError, match=r"no record_list\.csv in .*corpora\.md"):
        Corpus().entries(Folder(str(tmp_path / "elsewhere")))
    (tmp_path / "machine_measurements.csv").write_text(HEADER.replace("rr_interval", "rr_intervals") + "\n")
    with pytest.raises(ValueError, match=r"no column 'rr_interval' \(nearest: 'rr_intervals'\)"):
        Corpus().entries(tree)


def test_a_damaged_table_is_named_and_not_quoted(tree: Folder):
    table = Path(tree.path("machine_measurements.csv"))
    table.write_text(table.read_text().replace("800,40", "secret,40"))
    with pytest.raises(ValueError, match=r"machine_measurements\.csv") as caught:
        Corpus().entries(tree)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__
