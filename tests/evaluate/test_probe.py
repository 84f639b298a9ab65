import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from ecgfm import draw
from ecgfm.evaluate import metrics, probe


def made_up(records: int, seed: int, width: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, and three labels of which chance decides at the border."""
    random, truth = draw.generator("vectors", seed), draw.generator("maps").normal(size=(width, 3))
    vectors = random.normal(size=(records, width)) * np.linspace(0.1, 10, width)
    logits = vectors / np.linspace(0.1, 10, width) @ truth - 1.5
    return vectors, random.random((records, 3)) < 1 / (1 + np.exp(-logits))


def test_logistic_regression_is_scikit_learns():
    vectors, labels = made_up(400, 0)
    (x,) = probe.standardised(vectors)
    strengths = (1e-3, 1e-1)
    for strength, maps in zip(strengths, probe.fit(x, labels, strengths), strict=True):
        for i in range(3):
            theirs = LogisticRegression(C=1 / (len(x) * strength), tol=1e-8, max_iter=2000).fit(x, labels[:, i])
            np.testing.assert_allclose(maps[:-1, i], theirs.coef_[0], atol=3e-3)
            np.testing.assert_allclose(maps[-1, i], theirs.intercept_[0], atol=3e-3)


def test_strength_is_chosen_by_the_validation_records(monkeypatch: pytest.MonkeyPatch):
    (train, labels), (valid, known), (test, truth) = (made_up(n, seed) for seed, n in enumerate((60, 300, 300)))
    train, valid, test = probe.standardised(train, valid, test)
    once, alone = np.ones((300, 1), np.float32), {}
    for strength in probe.STRENGTHS:
        monkeypatch.setattr(probe, "STRENGTHS", (strength,))
        scores = probe.probe(train, labels, valid, known, test)
        alone[metrics.macro(metrics.auc(scores.valid, known, once))[0]] = metrics.auc(scores.test, truth, once)
    monkeypatch.undo()
    scores = probe.probe(train, labels, valid, known, test)
    np.testing.assert_allclose(metrics.auc(scores.test, truth, once), alone[max(alone)], atol=5e-3)
    assert len(alone) == len(probe.STRENGTHS)


def test_few_labels_are_shared_out_evenly():
    random = draw.generator("few labels")
    labels = random.random((2000, 6)) < [0.8, 0.3, 0.1, 0.05, 0.01, 0.002]
    for share in (0.01, 0.1):
        rows = probe.few(labels, share, seed=0)
        assert len(np.unique(rows)) == len(rows)
        assert len(rows) == pytest.approx(share * 2000, abs=4)
        assert labels[rows].any(0).all()
        assert labels[rows].sum(0)[:3] == pytest.approx(share * labels.sum(0)[:3], rel=0.4, abs=2)
        assert set(probe.few(labels, share, seed=1)) != set(rows)
        np.testing.assert_array_equal(probe.few(labels, share, seed=0), rows)
    np.testing.assert_array_equal(probe.few(labels, 1.0, 0), np.arange(2000))


def test_the_quick_probe_finds_what_is_there_and_nothing_else():
    vectors, labels = made_up(600, 0)
    subject = np.repeat(np.arange(200), 3)
    once = np.ones((600, 1), np.float32)
    assert metrics.auc(probe.quick(vectors, labels, subject), labels, once).min() > 0.8
    # one vector per subject and labels by subject: a probe that saw a subject's other records would know them
    own = draw.generator("own").normal(size=(200, 64))[subject]
    chance = (draw.generator("chance").random((200, 3)) < 0.3)[subject]
    assert metrics.auc(probe.quick(own, chance, subject), chance, once).mean() == pytest.approx(0.5, abs=0.08)


def test_weak_strengths_come_as_near_as_strong_ones():
    """As wide as vectors are, with fewer records: what is left of the gradient says how far the least is."""
    vectors, labels = made_up(90, 0, width=128)
    (x,) = probe.standardised(vectors)
    for strength, found in zip(probe.STRENGTHS, probe.fit(x, labels, probe.STRENGTHS), strict=True):
        map_ = torch.from_numpy(found).requires_grad_()
        logits = torch.from_numpy(x).float() @ map_[:-1] + map_[-1]
        errors = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels).float(), reduction="none")
        (errors.mean(0).sum() + strength / 2 * map_[:-1].square().sum()).backward()
        assert map_.grad is not None
        assert map_.grad.abs().max() < 2e-4
