import numpy as np
import pytest

from ecgfm.negatives.band import LEAK, Band
from ecgfm.negatives.vectors import Embeddings


def vectors(reports: int, d: int = 8, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((reports, d)).astype(np.float32)
    return Embeddings.of(values, "random", []).vectors


def similarities(v: np.ndarray) -> np.ndarray:
    return v.astype(np.float32) @ v.astype(np.float32).T


def test_drawn_by_weight_among_those_in_the_band():
    v, draws = vectors(12), 200_000
    weight = np.arange(12) ** 2.0
    band, query = Band.of(v, weight, -0.2, 0.4), 3
    chosen = band.choose(np.full(draws, query), np.arange(draws), seed=1, step=2)
    near = similarities(v)[query]
    expected = weight * np.where((near >= -0.2) & (near <= 0.4), 1, LEAK) * (np.arange(12) != query)
    assert (expected > 0.5).sum() > 3  # several in the band
    np.testing.assert_allclose(np.bincount(chosen, minlength=12) / draws, expected / expected.sum(), atol=4e-3)


def test_one_random_number_of_24_bits_is_too_coarse_for_rare_reports():
    """With weights of 2^-26 it would reach every fourth report only."""
    v, rare = vectors(2 + 2**16), 2**16
    band = Band.of(v, np.array([1.0, 1.0 - 2.0**-10] + [2.0**-26] * rare), -2.0, 2.0)
    chosen = band.choose(np.zeros(500_000, np.int64), np.arange(500_000), 0, 0)
    place = np.argsort(band.order)[chosen[chosen > 1]]
    assert len(place) == pytest.approx(500_000 / 2**10, rel=0.2)
    assert np.bincount(place % 4).max() / len(place) < 0.35


def test_never_of_the_same_text_nor_outside_of_training():
    v = vectors(40)
    v[20:] = v[:20]  # every text twice
    weight = np.ones(40)
    weight[[3, 23, 30]] = 0
    reports = np.arange(40).repeat(500)
    chosen = Band.of(v, weight, 0.9, 1.0).choose(
        reports, np.arange(len(reports)), 0, 0
    )  # next to nothing is in the band
    assert (chosen % 20 != reports % 20).all()
    assert not np.isin(chosen, [3, 23, 30]).any()


def test_nearly_all_records_with_one_text():
    """The text's own share is left out before drawing, so other texts are found however rare they are."""
    v, reports = vectors(5), np.zeros(1000, np.int64)
    weight = np.array([1e9, 1.0, 1.0, 1.0, 1.0])
    chosen = Band.of(v, weight, -2.0, 2.0).choose(reports, np.arange(1000), 0, 0)
    assert set(chosen) == {1, 2, 3, 4}


def test_a_function_of_seed_step_and_record():
    v = vectors(300)
    band = Band.of(v, np.ones(300), -1.0, 0.1)
    reports, records = np.arange(300), np.arange(300) << 20
    chosen = band.choose(reports, records, seed=1, step=2)
    some = np.array([299, 3, 11])
    np.testing.assert_array_equal(band.choose(reports[some], records[some], 1, 2), chosen[some])
    for seed, step, shift in ((2, 2, 0), (1, 3, 0), (1, 2, 1)):
        assert (band.choose(reports, records + shift, seed, step) != chosen).mean() > 0.9


def test_where_no_proposal_is_taken_the_least_similar(monkeypatch):
    monkeypatch.setattr("ecgfm.negatives.band.LEAK", 0)
    v = vectors(50)
    chosen = Band.of(v, np.ones(50), 3.0, 4.0).choose(np.arange(50), np.arange(50), 0, 0)
    assert (similarities(v).argmin(1) == chosen).mean() > 0.8  # 128 proposals meet nearly all of 50 reports


def test_a_record_without_a_report_gets_none():
    chosen = Band.of(vectors(9), np.ones(9), -1.0, 1.0).choose(np.array([-1, 3, -1]), np.arange(3), 0, 0)
    assert chosen[[0, 2]].tolist() == [-1, -1]
    assert chosen[1] not in (-1, 3)


def test_one_text_is_refused():
    with pytest.raises(ValueError, match="one text or none"):
        Band.of(vectors(3), np.array([1.0, 0.0, 0.0]), -1.0, 1.0)
