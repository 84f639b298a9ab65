import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgfm.negatives.index import FarIndex, FarLists
from ecgfm.negatives.vectors import Embeddings


def vectors(rng: np.random.Generator, reports: int, d: int = 16, distinct: int | None = None) -> np.ndarray:
    """With fewer distinct rows than reports, and few values, many similarities are equal."""
    values = rng.standard_normal((distinct or reports, d)) if distinct is None else rng.integers(-1, 2, (distinct, d))
    rows = np.concatenate((np.arange(distinct or reports), rng.integers(0, distinct or reports, reports)))[:reports]
    return Embeddings.of(values[rows].astype(np.float32), "random", []).vectors


def by_brute_force(v: np.ndarray, train: np.ndarray, report: int, k: int) -> list[int]:
    """Farthest first, equally far ones by number, no text equal to the report's own, only what training meets."""
    similarity = v.astype(np.float64) @ v[report].astype(np.float64)
    others = [r for r in range(len(v)) if train[r] > 0 and (v[r] != v[report]).any()]
    return sorted(others, key=lambda r: (similarity[r], r))[:k]


def test_the_farthest_of_every_report():
    rng = np.random.default_rng(0)
    v, train = vectors(rng, 700), rng.integers(0, 3, 700).astype(np.int32)
    far = FarIndex(v, train).far(np.arange(700), 64)
    for report in range(700):
        assert far[report].tolist() == by_brute_force(v, train, report, 64)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 400), st.integers(2, 60), st.integers(1, 20))
def test_ties_and_identical_texts(seed, reports, distinct, k):
    """Whole crowds of equally far reports, far more than are searched beyond k."""
    rng = np.random.default_rng(seed)
    v = vectors(rng, reports, d=3, distinct=min(distinct, reports))
    train = np.ones(reports, np.int32)
    try:
        index = FarIndex(v, train)
    except ValueError:
        assert len(np.unique(v, axis=0)) == 1
        return
    k = min(k, index.longest)
    asked = rng.permutation(reports)[:40]
    far = index.far(asked, k)
    for report, row in zip(asked, far, strict=True):
        assert row.tolist() == by_brute_force(v, train, report, k)


def test_an_answer_does_not_depend_on_what_else_is_asked():
    rng = np.random.default_rng(1)
    v = vectors(rng, 500, d=64)
    index = FarIndex(v, np.ones(500, np.int32), threads=2)
    together = index.far(np.arange(500), 64)
    for report in range(0, 500, 23):
        np.testing.assert_array_equal(index.far(np.array([report]), 64)[0], together[report])


def test_more_than_there_are_is_refused():
    v = vectors(np.random.default_rng(2), 30)
    with pytest.raises(ValueError, match="29 for every report"):
        FarIndex(v, np.ones(30, np.int32)).far(np.array([0]), 30)
    with pytest.raises(ValueError, match="one text or none"):
        FarIndex(np.repeat(v[:1], 30, 0), np.ones(30, np.int32))


def test_lists_are_searched_once(monkeypatch):
    rng = np.random.default_rng(3)
    index = FarIndex(vectors(rng, 200), np.ones(200, np.int32))
    lists, expected = FarLists(index, 8), index.far(np.arange(200), 8)
    asked = np.array([5, 5, 199, 0])
    np.testing.assert_array_equal(lists[asked], expected[asked])
    monkeypatch.setattr(index, "flat", None)
    np.testing.assert_array_equal(lists[asked[::-1]], expected[asked[::-1]])
    with pytest.raises(AttributeError):
        lists[np.array([6])]


def test_all_lists_as_a_file(tmp_path, monkeypatch):
    rng = np.random.default_rng(4)
    v, train = vectors(rng, 300), np.ones(300, np.int32)
    index = FarIndex(v, train)
    built = FarLists(index, 8).build(tmp_path / "lists")
    assert isinstance(built, np.memmap)
    np.testing.assert_array_equal(built, index.far(np.arange(300), 8))
    monkeypatch.setattr(index, "flat", None)
    np.testing.assert_array_equal(FarLists(index, 8).build(tmp_path / "lists"), built)  # found, not searched again
    train[7] = 0
    other = FarLists(FarIndex(v, train), 8).build(tmp_path / "lists")  # made from something else, so it is another file
    assert (built == 7).any()
    assert not (other == 7).any()
    assert len(list((tmp_path / "lists").iterdir())) == 2


@pytest.mark.skipif(not faiss.get_num_gpus(), reason="needs faiss-gpu and a GPU")
def test_the_same_on_a_gpu():
    v, train = vectors(np.random.default_rng(5), 5000, d=64), np.ones(5000, np.int32)
    found = FarIndex(v, train, gpu=True).far(np.arange(500), 64)
    np.testing.assert_array_equal(found, FarIndex(v, train).far(np.arange(500), 64))


def test_others_in_this_process_keep_their_threads():
    before, index = faiss.omp_get_max_threads(), FarIndex(vectors(np.random.default_rng(6), 50), np.ones(50), threads=3)
    index.far(np.array([0]), 4)
    assert faiss.omp_get_max_threads() == before != 3
