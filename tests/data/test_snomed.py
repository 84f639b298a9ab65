import csv
from pathlib import Path

from ecgfm.data import snomed


def rows(real: Path, name: str) -> list[dict]:
    with open(real / "cinc-2021-scoring" / name) as file:
        return list(csv.DictReader(file))


def test_abbreviations_are_the_challenges(real: Path):
    published = rows(real, "dx_mapping_scored.csv") + rows(real, "dx_mapping_unscored.csv")
    assert {row["SNOMEDCTCode"]: row["Abbreviation"] for row in published} == snomed.ABBREVIATIONS


def test_scored_classes_are_the_rows_of_the_weights_in_their_order(real: Path):
    codes, names = rows(real, "weights.csv"), rows(real, "weights_abbreviations.csv")
    assert [row[""] for row in codes] == list(snomed.SCORED_CODES.values())
    assert [row[""] for row in names] == list(snomed.SCORED_CODES)
    assert len(snomed.SCORED_CODES) == 26
    assert {row["SNOMEDCTCode"] for row in rows(real, "dx_mapping_scored.csv")} == set(snomed.SCORED)


def test_diagnoses_are_read_in_every_spelling():
    assert snomed.codes(["Age: 3", "Dx: 270492004,164889003", "Rx: Unknown"]) == ("270492004", "164889003")
    assert snomed.codes(["#Dx: 270492004"]) == snomed.codes(["# Dx: 270492004"]) == ("270492004",)
    assert snomed.codes(["Dx: NST_, _AVB,NST_"]) == ("NST", "AVB")
    assert snomed.codes(["Dx: Unknown"]) == snomed.codes(["Dx:"]) == snomed.codes(["Hx: 270492004"]) == ()


def test_equivalent_codes_are_one_class():
    assert snomed.scored(["713427006", "59118001", "1"]) == ("CRBBB|RBBB",)
    assert snomed.abbreviated(["713427006", "59118001", "1"]) == ("CRBBB", "RBBB", "1")
