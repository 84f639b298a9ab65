from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import Made

from ecgfm.data import shards
from ecgfm.data.storage import Folder
from ecgfm.evaluate import controls


def test_shuffled_reports(made: Made, tmp_path: Path):
    before, after = Folder(made.shards), Folder(str(tmp_path))
    told = controls.shuffle_reports(before, after, seed=1)
    assert shards.manifest(after) == told
    assert shards.damaged(after, {s.name: s.sha256 for s in told.shards} | told.tables) == []
    for shard in told.shards:
        chunks = range(-(-shard.rows // told.chunk))
        old, new = (shards.read(folder, shard.name, chunks) for folder in (before, after))
        assert new.drop_columns(["report"]) == old.drop_columns(["report"])
        was, now = (table["report"].to_numpy() for table in (old, new))
        assert (was != now).mean() > 0.2
        assert sorted(was) == sorted(now)
        index = shards.index(after).filter(np.array(shards.index(after)["split"]) == shard.split)
        np.testing.assert_array_equal(index["report"].to_numpy(), now)
    with pytest.raises(FileExistsError, match="holds shards already"):
        controls.shuffle_reports(before, after)


def test_untrained_towers_are_a_function_of_the_seed(towers: str):
    one, again, other = (controls.untrained(Folder(towers), seed, "cpu").towers for seed in (0, 0, 1))
    trained = controls.saved.read(Folder(towers)).towers
    states = [dict(model.named_parameters()) for model in (one, again, other, trained)]
    for name, weight in states[0].items():
        assert torch.equal(weight, states[1][name])
        drawn = weight.std() > 0
        assert not drawn or not (torch.equal(weight, states[2][name]) or torch.equal(weight, states[3][name]))
