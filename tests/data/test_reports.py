import pyarrow as pa
import pytest

from ecgfm.data import reports


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("*** Sinus   Rhythm ***", "sinus rhythm"),
        ("--- Warning: Data quality may affect interpretation ---", "warning: data quality may affect interpretation"),
        ("Possible LVH\n\twith  strain.", "possible lvh with strain"),
        ("st-t changes in V1-V3; old?", "st-t changes in v1-v3; old?"),
        ("a === b\u00a0\u200b c", "a b c"),
        ("sinusrhythmus, QT-VERLA\u0308NGERUNG normales ekg", "sinusrhythmus, qt-verl\u00e4ngerung normales ekg"),
        (" *** ", None),
        ("", None),
        (None, None),
    ],
)
def test_cleaning(text: str | None, cleaned: str | None):
    assert reports.clean(pa.array([text], pa.string())).to_pylist() == [cleaned]


def test_cleaning_again_changes_nothing():
    once = reports.clean(pa.array(["** A - b:  C.,", "summary: x", "- - -"]))
    assert reports.clean(once).to_pylist() == once.to_pylist()


def test_lines_are_joined_over_gaps_and_rows_stay_in_place():
    lines = [
        pa.chunked_array([["Sinus rhythm", None], ["Summary: Normal EKG", None]]),
        pa.chunked_array([[None, None, "*** UNEDITED COPY ***", None]]),
        pa.chunked_array([["Normal ECG.", None, None, "Atrial fibrillation"]]),
    ]
    assert reports.join(lines).to_pylist() == ["sinus rhythm. normal ecg", None, "normal ecg", "atrial fibrillation"]


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        ("Report made without knowledge of patient's sex", False),
        ("*** Interpretation made without knowing patient's gender/age ***", False),
        ("Age not entered, assumed to be 50 years old for purpose of ECG interpretation", False),
        ("Report is computer generated only, without physician interpretation", False),
        ("Unconfirmed", False),
        ("Warning: data quality may affect interpretation", True),
        ("Old infarct, age undetermined", True),
        ("Anterior infarct - age unknown", True),
    ],
)
def test_lines_about_the_print_out_are_left_out(line: str, stays: bool):
    assert (reports.join([pa.array([line])])[0].as_py() is not None) == stays


def test_the_table_holds_each_text_once_in_an_order_of_its_own():
    texts = ["b", None, "a", "b", "\u00e4"]
    table = reports.report_table(pa.chunked_array([texts]))
    assert table.to_pydict() == {"report_id": [0, 1, 2], "text": ["a", "b", "\u00e4"], "count": [1, 2, 1]}
    assert reports.report_table(pa.array(texts[::-1])).equals(table)
    assert len(reports.report_table(pa.array([None], pa.string()))) == 0
