"""The record that crosses borders: optional columns travel when they are there."""

from dataclasses import fields, replace

import torch
from batches import make, with_pulse

from ecgfm.batch import Batch, locate, record_id


def test_a_part_has_every_column_that_is_there() -> None:
    batch = with_pulse(make(records=6))
    for part in (batch[2:4], batch[torch.tensor([2, 3])], batch[2:4].to("cpu")):
        assert len(part) == 2
        for column in {f.name for f in fields(Batch)} - {"others"}:
            assert torch.equal(getattr(part, column), getattr(batch, column)[2:4])
        for mine, whole in zip(part.others["ppg"], batch.others["ppg"], strict=True):
            assert torch.equal(mine, whole[2:4])
    plain = replace(batch, far_report=None, far_words=None, far_word_count=None)
    assert plain[2:4].to("cpu").far_words is None
    assert torch.equal(plain[2:4].words, batch.words[2:4])


def test_a_record_s_number_says_where_it_stands() -> None:
    assert locate(record_id(3, 1_000_000, 1_000_001)) == (3, 1_000_000, 1_000_001)
