"""Against scikit-learn, which takes weights too, and against counting."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from ecgfm import draw
from ecgfm.evaluate import metrics

N, K = 300, 4


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, labels, subjects of one to several records."""
    random = draw.generator("scored")
    labels = random.random((N, K)) < 0.2
    return np.round(random.normal(size=(N, K)) + labels, 1), labels, random.integers(0, 90, N)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(metrics.auc, roc_auc_score), (metrics.average_precision, average_precision_score)]
)
def test_every_draw_is_scikit_learns_figure_with_these_weights(scored, ours, theirs, monkeypatch):
    scores, labels, subject = scored
    monkeypatch.setattr(metrics, "_AT_ONCE", 7 * N)  # in pieces of seven draws
    weights = metrics.resample(subject, draws=20)
    expected = [[theirs(labels[:, i], scores[:, i], sample_weight=w) for i in range(K)] for w in weights.T]
    np.testing.assert_allclose(ours(scores, labels, weights), expected, atol=1e-6)


def test_f1_with_the_best_threshold_on_other_records(scored):
    scores, labels, subject = scored
    level = metrics.thresholds(scores, labels)
    once = metrics.resample(subject, draws=3)
    for i in range(K):
        tried = {t: f1_score(labels[:, i], scores[:, i] >= t) for t in np.unique(scores[:, i])}
        assert tried[level[i]] == max(tried.values())
        expected = [f1_score(labels[:, i], scores[:, i] >= level[i], sample_weight=w) for w in once.T]
        np.testing.assert_allclose(metrics.f1(scores >= level, labels, once)[:, i], expected, atol=1e-6)


def test_subjects_are_drawn_whole(scored):
    _, _, subject = scored
    weights = metrics.resample(subject, draws=50)
    assert (weights[:, 0] == 1).all()
    for one in np.unique(subject):
        assert (np.ptp(weights[subject == one], axis=0) == 0).all()
    first = np.unique(subject, return_index=True)[1]
    assert (weights[first].sum(0) == len(first)).all()


def test_records_alike_do_not_make_an_interval_narrow(scored):
    scores, labels, _ = scored
    alone, ten = np.arange(N), np.repeat(np.arange(N), 10)
    once = metrics.figure([metrics.macro(metrics.auc(scores, labels, metrics.resample(alone, 400)))])
    repeated = metrics.auc(scores[ten], labels[ten], metrics.resample(ten, 400))
    again = metrics.figure([metrics.macro(repeated)])
    assert again.value == pytest.approx(once.value)
    assert again.high - again.low == pytest.approx(once.high - once.low, rel=0.2)


def test_a_label_that_all_or_none_have_is_left_out():
    labels = np.array([[True, False, True], [False, False, True]])
    scores = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    found = metrics.auc(scores, labels, np.ones((2, 1), np.float32))
    np.testing.assert_array_equal(found, [[1.0, np.nan, np.nan]])
    assert metrics.macro(found) == [1.0]


def test_the_interval_of_several_seeds_holds_what_one_would_miss():
    random = draw.generator("seeds")
    missed = {1: 0, 3: 0}
    for _ in range(200):
        runs = [0.5 + random.normal(0, 0.05) + np.r_[0, random.normal(0, 0.01, 100)] for _ in range(3)]
        for count in missed:
            missed[count] += not metrics.figure(runs[:count]).holds(0.5)
    assert missed[3] <= 20
    assert missed[1] > 60
    alike = metrics.figure([np.r_[0.5, random.normal(0.5, 0.01, 1000)]] * 2)
    assert (alike.low, alike.high) == pytest.approx((0.5 - 1.96 * 0.01, 0.5 + 1.96 * 0.01), abs=2e-3)
    found = metrics.figure(runs)
    assert found.seeds == tuple(run[0] for run in runs)
    assert found.value == pytest.approx(np.mean(found.seeds))
