from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from ecgfm.data import reports as texts_of
from ecgfm.data.synthetic.people import visits
from ecgfm.data.synthetic.report import report
from ecgfm.negatives.balance import balanced
from ecgfm.negatives.choose import choose
from ecgfm.negatives.embed import lexical
from ecgfm.negatives.index import FarIndex, FarLists
from ecgfm.negatives.measure import Shown, shortcut, show, true_after_all, variety

TEXTS = ["sinus rhythm", "atrial fibrillation", "old inferior infarct of some age", "left bundle branch block"]
REPORTS = np.arange(4).repeat(500)


def test_what_is_shown_is_half_true_and_half_as_chosen():
    shown = show(lambda reports, records, seed, step: (reports + 1) % 4, REPORTS, epochs=4)
    assert shown.true.mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_array_equal(shown.report, np.where(shown.true, 0, 1) + REPORTS[shown.record] & 3)
    assert len(np.unique(shown.true.reshape(4, -1).sum(0))) == 5  # drawn anew in each epoch


def test_one_false_report_for_all_gives_itself_away():
    shown = show(lambda reports, records, seed, step: np.full(len(reports), 2), REPORTS, epochs=4)
    found = shortcut(TEXTS, shown)
    assert found.text == pytest.approx(7 / 8, abs=0.02)  # a quarter of the true ones look like the false ones
    assert found.accuracy == pytest.approx(7 / 8, abs=0.02)
    assert found.words == pytest.approx(found.text, abs=0.01)
    assert found.length == pytest.approx(found.text, abs=0.01)  # the only one of six words


def test_no_shortcut_where_false_reports_are_as_frequent_as_true_ones():
    shown = show(lambda reports, records, seed, step: (reports + 2) % 4, REPORTS, epochs=20)
    found = shortcut(TEXTS, shown)
    assert [found.text, found.accuracy, found.words, found.length] == pytest.approx([0.5] * 4, abs=0.02)


def test_variety():
    even = variety(np.arange(40).repeat(3))
    assert (even.distinct, even.effective, even.top_ten) == (40, pytest.approx(40), pytest.approx(0.25))
    hub = variety(np.array([7] * 98 + [1, 2]))
    assert hub.distinct == 3
    assert hub.effective < 1.2


def test_a_false_report_may_be_true():
    found = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]], bool)
    reports = np.array([0, 1, 2, 3])

    def share(record: int, report: int) -> float:
        return true_after_all(found, reports, Shown(np.array([record]), np.array([report]), np.array([False])))

    assert share(0, 1) == 1  # says less than there is
    assert share(1, 0) == 0  # says more
    assert share(0, 2) == 0  # says that there is nothing
    assert share(2, 2) == 1


@pytest.fixture(scope="module")
def synthetic() -> tuple[list[str], np.ndarray]:
    """Reports of synthetic recordings, and the report of each."""
    lines = [report(visit, visit.number % 3) for visit in visits(seed=3, records=1500)]
    said = texts_of.join(
        [pa.array([line[i] if i < len(line) else None for line in lines], pa.string()) for i in range(18)]
    )
    encoded = said.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def test_the_farthest_give_the_match_away_and_the_balanced_band_does_not(synthetic):
    texts, reports = synthetic
    vectors, use = lexical(texts, 64).vectors, np.bincount(reports).astype(np.int32)
    farthest = show(partial(choose, FarLists(FarIndex(vectors, use), 16)), reports, epochs=20)
    band = show(balanced(vectors, use).choose, reports, epochs=20)
    assert shortcut(texts, farthest).text > 0.7
    found = shortcut(texts, band)
    assert max(found.text, found.accuracy, found.words, found.length) < 0.55
    true = variety(reports)
    assert variety(farthest.report[~farthest.true]).effective < 0.75 * true.effective
    assert variety(band.report[~band.true]).effective == pytest.approx(true.effective, rel=0.1)
