import time

import numpy as np
import pytest

from ecgfm import draw
from ecgfm.data.plan import Chunks, Places, Plan, Visits


def corpus(records: int, shard: int = 512, chunk: int = 64) -> Chunks:
    """Shards that refusals have made uneven."""
    random, chunks, number = draw.generator("sizes", records), [], 0
    while records:
        rows = min(int(random.integers(shard * 9 // 10, shard + 1)), records)
        chunks += [(number, start, min(chunk, rows - start)) for start in range(0, rows, chunk)]
        records, number = records - rows, number + 1
    return Chunks(*zip(*chunks, strict=True))


def join(parts: list[Places]) -> Places:
    return Places(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("corpus", "epoch", "shard", "row")))


def blocks(plan: Plan, records: int) -> Places:
    """The first so many records, or a few more, of a plan's sequence."""
    run = plan.window * plan.part
    return join([plan.block(*divmod(n, plan.slices)) for n in range(-(-records // run))])


@pytest.mark.parametrize("records", [1000, 2048, 5000])
def test_each_record_comes_once_per_epoch(records: int) -> None:
    plan = Plan((corpus(records),), batch=64, slices=4, window=4)
    seen = blocks(plan, 3 * records)
    for epoch in range(3):
        here = seen[seen.epoch == epoch]
        assert len(here) == len(np.unique(here.record)) == records
    assert seen.epoch.max() <= 3


def test_epochs_and_seeds_differ() -> None:
    plan = Plan((corpus(2048),), batch=64, slices=4, window=4)
    seen = blocks(plan, 2 * 2048).record
    assert np.mean(seen[:2048] == seen[2048:4096]) < 0.05
    other = blocks(Plan((corpus(2048),), batch=64, slices=4, window=4, seed=1), 2048).record
    assert np.mean(seen[:2048] == other[:2048]) < 0.05


def test_any_number_of_workers_sees_the_same_batches() -> None:
    plan = Plan((corpus(3000),), batch=64, slices=8, window=4)
    for batch in (0, 5, 46, 1000):
        whole, (piece, i) = plan.batch_places(batch).record, divmod(batch, plan.window)
        rows = slice(i * plan.part, (i + 1) * plan.part)
        for workers in (1, 2, 4, 8):
            parts = [plan.block(piece, s)[rows].record for r in range(workers) for s in range(r, plan.slices, workers)]
            assert sorted(np.concatenate(parts)) == sorted(whole)


def test_a_place_far_into_a_run_is_found_at_once() -> None:
    plan = Plan((corpus(800_000, shard=1024),), batch=128)
    began = time.perf_counter()
    plan.batch_places(299_000)
    assert time.perf_counter() - began < 0.5  # 0.03 s on an idle core; the goal is 0.1 s


def test_shuffle_quality() -> None:
    """Neighbours on disk are strangers in a batch: as seldom together as ecgfm.data.plan says, each epoch anew."""
    chunks, epochs = corpus(65_536), []
    plan = Plan((chunks,), batch=1024, slices=8, window=8)
    for epoch in range(2):
        batch_of = np.full((140, 1024), -1)
        for batch in range(64 * epoch + 8, 64 * epoch + 56):  # away from the seams
            places = plan.batch_places(batch)
            batch_of[places.shard, places.row] = batch
        left, right = batch_of[:, :-1:2], batch_of[:, 1::2]  # records 2i and 2i + 1, nearly always of one chunk
        both = (left >= 0) & (right >= 0)
        epochs.append((both, left == right))
    together = [np.mean(same[both]) for both, same in epochs]
    assert together == pytest.approx([1 / 8, 1 / 8], rel=0.1)
    both = epochs[0][0] & epochs[1][0]
    again = np.mean(epochs[0][1][both] & epochs[1][1][both])
    assert again == pytest.approx(1 / 64, rel=0.3)  # independent from epoch to epoch


def test_chunks_of_a_batch_come_from_many_shards() -> None:
    plan = Plan((corpus(65_536),), batch=1024, slices=8, window=8)
    shards = [len(np.unique(plan.batch_places(batch).shard)) for batch in range(20)]
    assert np.mean(shards) > 60  # of 135


def test_corpora_are_mixed_by_their_shares() -> None:
    plan = Plan((corpus(1000), corpus(300)), batch=40, slices=4, window=4, shares=(3, 1))
    seen = blocks(plan, 8000)
    assert np.bincount(seen.corpus[:8000]).tolist() == [6000, 2000]
    for number, records in ((0, 1000), (1, 300)):
        own = seen[seen.corpus == number]
        first = own[own.epoch == 0]
        assert len(np.unique(first.record)) == len(first) == records
    shares = [np.mean(plan.batch_places(batch).corpus) for batch in range(100)]
    assert np.ptp(shares) < 0.5  # every batch holds some of both


def visits(records: int = 4001) -> tuple[Visits, np.ndarray]:
    random = draw.generator("subjects")
    subject = np.sort((random.pareto(1.2, records) * 40).astype(np.int64) % 900)
    shard = subject // 50
    row = np.arange(records) - np.searchsorted(shard, shard)
    return Visits(shard, row, subject), subject


def test_visits_of_a_subject_come_in_twos() -> None:
    order, subject = visits()
    plan = Plan((order,), batch=64, slices=4, window=4)
    of = {(s, r): who for s, r, who in zip(order.shard, order.row, subject, strict=True)}
    seen = blocks(plan, 4000)
    who = np.array([of[place] for place in zip(seen.shard.tolist(), seen.row.tolist(), strict=True)])
    pairs = who[: len(who) // 2 * 2].reshape(-1, 2)
    possible = sum(n // 2 for n in np.bincount(subject)) / (4000 // 2)
    assert np.mean(pairs[:, 0] == pairs[:, 1]) == pytest.approx(possible, abs=0.02)
    first = seen[seen.epoch == 0]
    assert len(np.unique(first.record)) == len(first) == 4000  # of 4001: an odd one is left out


def test_pairs_change_from_epoch_to_epoch() -> None:
    order, _ = visits()
    partner = []
    for epoch in range(2):
        shard, row = order.at(np.arange(4000), 0, epoch)
        record = (shard * 10_000 + row).reshape(-1, 2)
        partner.append(dict(np.concatenate((record, record[:, ::-1])).tolist()))
    common = partner[0].keys() & partner[1].keys()
    assert np.mean([partner[0][r] == partner[1][r] for r in common]) < 0.4


def test_what_cannot_be_planned_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        Plan((corpus(100),), batch=20, slices=8)
    with pytest.raises(ValueError, match="multiple of 16"):
        Plan((visits()[0],), batch=24, slices=8)
    with pytest.raises(ValueError, match="as many shares"):
        Plan((corpus(100),), batch=64, shares=(1, 2))
