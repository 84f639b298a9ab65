import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgfm.data.record import LEADS
from ecgfm.data.sources.csn import Corpus
from ecgfm.data.storage import Folder

# A part of the publisher's table, with the byte order mark that it begins with.
CONDITIONS = """\ufeffAcronym Name,Full Name,Snomed_CT
1AVB,1 degree atrioventricular block,270492004
APB,atrial premature beats,284470004
IDC,Interior differences conduction,698252002
IVB,Intraventricular block,698252002
AVB,atrioventricular block,233917008
TWC,T wave Change,164934002
TWO,T wave opposite,59931005
ST,Sinus Tachycardia,427084000
STTC,ST-T Change,428750005
SB,Sinus Bradycardia,426177001
SA,Sinus Irregularity,427393009
AF,Atrial Flutter,164890007
AFIB,Atrial Fibrillation,164889003
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "ConditionNames_SNOMED-CT.csv").write_text(CONDITIONS, encoding="utf-8")
    return tmp_path


def read(tree: Path) -> dict[str, tuple[str, ...]]:
    source = Folder(str(tree))
    records = [Corpus().read(source, entry) for entry in Corpus().entries(source).to_pylist()]
    assert all(record.ecg.names == LEADS for record in records)
    return {record.subject: record.labels["all"] for record in records}


def test_labels_are_acronyms_by_exact_code(tree: Path, samples: np.ndarray, write_record: Callable[..., None]):
    diagnoses = {
        "JS00001": "#Dx: 164890007,164934002",  # flutter, which the publisher calls AF
        "JS00002": "# Dx: 164889003",  # fibrillation is AFIB and not AF as well
        "JS00003": "#Dx: 270492004",  # 1AVB and not AVB
        "JS00004": "#Dx: 428750005",  # STTC and not ST
        "JS00005": "#Dx: 698252002",  # two acronyms share it
        "JS00006": "#Dx: 55930002, 426177001",  # a code that the table lacks stays a code
    }
    for name, line in diagnoses.items():
        comments = ["#Age: 85", "#Sex: Male", line, "#Rx: Unknown"]
        stem = tree / "WFDBRecords" / "01" / "010" / name
        write_record(stem, samples, names=LEADS, gain="1000/mV", storage="16+24", comments=comments)
    assert read(tree) == {
        "JS00001": ("AF", "TWC"),
        "JS00002": ("AFIB",),
        "JS00003": ("1AVB",),
        "JS00004": ("STTC",),
        "JS00005": ("IDC",),
        "JS00006": ("55930002", "SB"),
    }


def test_labels_agree_with_the_published_split_files_where_those_hold(tree: Path, real: Path):
    """Their column `diagnose` lists acronyms by code; the columns behind it are substring matches and no oracle."""
    for file in (real / "cinc-2021-form" / "cinc2021").glob("JS*"):
        folder = tree / "WFDBRecords" / "20" / "200"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
    ours, compared = read(tree), 0
    for split in ("train", "val", "test"):
        with open(real / "splits-merl" / "chapman" / f"chapman_{split}.csv") as file:
            for row in csv.DictReader(file):
                name = Path(row["ecg_path"]).stem
                if name in ours:
                    assert set(ours[name]) == set(row["diagnose"].split(","))
                    compared += 1
    assert compared == 8


def test_age_and_sex_come_from_the_header_and_the_date_does_not(tree: Path, real: Path):
    folder = tree / "WFDBRecords" / "20" / "200"
    folder.mkdir(parents=True)
    for suffix in (".hea", ".mat"):
        shutil.copy(real / "reduced-leads" / "two_leads" / f"JS20000{suffix}", folder)
    source = Folder(str(tree))
    record = Corpus().read(source, Corpus().entries(source).to_pylist()[0])
    assert (record.age, record.sex, record.time) == (84, "F", None)
    assert record.ecg.names == ("I", "II")


def test_a_wrong_folder_says_what_is_expected(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"ConditionNames_SNOMED-CT\.csv"):
        Corpus().entries(Folder(str(tmp_path)))
    (tmp_path / "ConditionNames_SNOMED-CT.csv").write_text(CONDITIONS)
    with pytest.raises(FileNotFoundError, match="WFDBRecords"):
        Corpus().entries(Folder(str(tmp_path)))
