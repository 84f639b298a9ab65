from dataclasses import replace

import pytest
import torch
from batches import make, tiny
from ranks import run
from toy import BATCH, RUN, engine, world_batch

from ecgfm.batch import Batch
from ecgfm.objectives import find, names
from ecgfm.run import Optimizer
from ecgfm.train.engine import TorchEngine
from ecgfm.train.failure import explain
from ecgfm.train.pretraining import Pretraining


def spoilt(row: int, value: float = float("nan")) -> Batch:
    batch = world_batch(4)
    scale = batch.scale.clone()
    scale[row] = value
    return replace(batch, scale=scale)


def test_the_record_is_named_by_shard_and_row() -> None:
    said = explain(engine(), spoilt(5), 0, RUN.corpora)
    assert said == "toy/copy, toy/mean, through made-up shard 4 row 5"


@pytest.mark.parametrize("method", names())
def test_it_is_named_by_every_method(method: str, text_model: str) -> None:
    """Also by those that look at variances over the batch."""
    model, batch = Pretraining(tiny(text_model), {method: find(method).Config()}), make()
    scale = batch.scale.clone()
    scale[5] = float("nan")
    said = explain(TorchEngine(model, model.groups(), Optimizer()), replace(batch, scale=scale), 0, RUN.corpora)
    assert said.endswith("through made-up shard 0 row 5")


def test_where_no_record_does_it_none_is_named() -> None:
    made = engine()
    with torch.no_grad():
        made.model.heads["copy"].bias.fill_(float("inf"))
    said = explain(made, world_batch(4), 0, RUN.corpora)
    assert said.startswith("toy/copy; no one record alone does it")


def test_a_gradient_alone_is_found_too() -> None:
    made = engine()
    made.model.heads["mean"].weight.register_hook(lambda gradient: gradient / 0)
    assert explain(made, world_batch(4), 0, RUN.corpora).startswith("toy/mean; no one record")
    assert not made.gradients.buffer.any()


def half() -> str:
    made = engine()
    return explain(made, spoilt(5)[made.rank * BATCH // 2 : (made.rank + 1) * BATCH // 2], 0, RUN.corpora)


def test_all_processes_name_the_record_of_one() -> None:
    assert run(2, half) == ["toy/copy, toy/mean, through made-up shard 4 row 5"] * 2


@pytest.mark.parametrize("value", [float("inf"), 1e38])
def test_too_large_is_not_finite_either(value: float) -> None:
    assert "shard 4 row 2" in explain(engine(), spoilt(2, value), 0, RUN.corpora)
