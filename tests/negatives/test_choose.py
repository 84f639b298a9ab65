import numpy as np

from ecgfm.negatives.choose import choose


def test_one_of_the_reports_own_list():
    lists = np.arange(50 * 8, dtype=np.int32).reshape(50, 8)
    reports, records = np.arange(50).repeat(100), np.arange(5000) << 20
    chosen = choose(lists, reports, records, seed=1, step=2)
    assert (chosen // 8 == reports).all()
    share = np.bincount(chosen % 8, minlength=8) / len(chosen)
    np.testing.assert_allclose(share, 1 / 8, atol=0.02)


def test_a_function_of_seed_step_and_record():
    lists = np.arange(50 * 64, dtype=np.int32).reshape(50, 64)
    reports, records = np.arange(50), np.arange(50) + 7
    chosen = choose(lists, reports, records, seed=1, step=2)
    some = np.array([49, 3, 11])
    np.testing.assert_array_equal(choose(lists, reports[some], records[some], 1, 2), chosen[some])
    for seed, step, shift in ((2, 2, 0), (1, 3, 0), (1, 2, 1)):
        assert (choose(lists, reports, records + shift, seed, step) != chosen).mean() > 0.9


def test_a_record_without_a_report_gets_none():
    lists = np.arange(64, dtype=np.int32).reshape(8, 8)
    chosen = choose(lists, np.array([-1, 3, -1]), np.array([0, 1, 2]), 0, 0)
    assert chosen[[0, 2]].tolist() == [-1, -1]
    assert chosen[1] // 8 == 3
