import numpy as np
import pytest

from ecgfm.negatives import balance
from ecgfm.negatives.balance import balanced, bounds, weights
from ecgfm.negatives.band import LEAK
from ecgfm.negatives.vectors import Embeddings


def reports(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors with a common direction and clusters, and heavily repeated reports."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((12, 16))[rng.integers(0, 12, count)] + 0.6 * rng.standard_normal((count, 16)) + 0.5
    vectors = Embeddings.of(values.astype(np.float32), "random", []).vectors
    return vectors, rng.permutation(np.maximum(1, 2 * count // (1 + np.arange(count)))).astype(np.int32)


def false_uses(vectors: np.ndarray, use: np.ndarray, weight: np.ndarray, low: float, high: float) -> np.ndarray:
    """How the false reports are distributed, as the definition says."""
    near = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    pairs = weight * np.where((near >= low) & (near <= high), 1, LEAK) * ~np.eye(len(use), dtype=bool)
    return (use / use.sum()) @ (pairs / pairs.sum(1, keepdims=True))


def test_bounds_part_the_pairs_of_records():
    vectors, use = reports(60)
    low, high = bounds(vectors, use, 0.2, 0.5)
    records = np.repeat(np.arange(60), use)
    near = (vectors.astype(np.float64) @ vectors.astype(np.float64).T)[np.ix_(records, records)]
    pairs = near[records[:, None] != records]
    assert (pairs < low).mean() == pytest.approx(0.2, abs=0.02)
    assert (pairs <= high).mean() == pytest.approx(0.5, abs=0.02)
    assert bounds(vectors, use, 0.0, 1.0) == (-np.inf, np.inf)


@pytest.mark.parametrize("band", [(0.0, 0.25), (0.0, 0.5), (0.5, 0.9)])
def test_false_uses_equal_true_uses(band):
    vectors, use = reports(500)
    low, high = bounds(vectors, use, *band)
    p = use / use.sum()
    assert np.abs(false_uses(vectors, use, use, low, high) - p).sum() > 0.1
    assert np.abs(false_uses(vectors, use, weights(vectors, use, low, high), low, high) - p).sum() < 2e-3


def test_a_sample_stands_for_all(monkeypatch):
    """Beyond 4,096 reports the scaling is solved for a sample; here, beyond 1,000."""
    vectors, use = reports(3000)
    low, high = bounds(vectors, use, 0.0, 0.5)
    p = use / use.sum()
    unbalanced = np.abs(false_uses(vectors, use, use, low, high) - p).sum()
    monkeypatch.setattr(balance, "_SAMPLE", 1000)
    sampled = weights(vectors, use, *bounds(vectors, use, 0.0, 0.5))
    assert np.abs(false_uses(vectors, use, sampled, low, high) - p).sum() < min(0.06, unbalanced / 4)


def test_draws_follow():
    vectors, use = reports(40)
    records = np.repeat(np.arange(40), use)
    draws = [balanced(vectors, use).choose(records, np.arange(len(records)), 0, step) for step in range(60)]
    false = np.bincount(np.concatenate(draws), minlength=40)
    np.testing.assert_allclose(false / false.sum(), use / use.sum(), atol=0.012)


def test_one_text_in_most_records():
    """No balance exists; what is drawn is still never the text itself, and otherwise as even as it can be."""
    vectors, use = reports(40)
    use[5] = 3 * (use.sum() - use[5])
    records = np.repeat(np.arange(40), use)
    false = np.bincount(balanced(vectors, use).choose(records, np.arange(len(records)), 0, 0), minlength=40)
    assert false[5] / len(records) == pytest.approx(0.25, abs=0.03)  # every other record gets it
