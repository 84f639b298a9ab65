from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ecgfm import recipes
from ecgfm.batch import Batch
from ecgfm.model.config import TowerConfig
from ecgfm.run import Resources, Run, override
from ecgfm.train import estimate
from ecgfm.train.estimate import BUCKETS, Cost, describe, hours, measure, memory
from ecgfm.train.pretraining import Pretraining

COST = Cost(fixed=10.0, record=3.0, operations=1.0)


@pytest.fixture(scope="module")
def run(text_model: str) -> Run:
    return override(recipes.find(["dbeta_tiny"]), {"towers.text.name": text_model, "words": 16})


@pytest.mark.parametrize(
    ("stage", "weights", "gradients", "optimizer"),
    [
        (0, 4 * 110, 4 * 100, 8 * 100),
        (1, 4 * 110, 4 * 100 + BUCKETS, 12 * 100 / 4),
        (2, 4 * 110, 4 * 100 / 4 + BUCKETS, 12 * 100 / 4),
        (3, 4 * 110 / 4, 4 * 100 / 4 + BUCKETS, 12 * 100 / 4),
    ],
)
def test_memory_of_each_stage(stage: int, weights: float, gradients: float, optimizer: float) -> None:
    found = memory(100, 10, COST, 7, Resources(workers=4, stage=stage))
    assert (found.weights, found.gradients, found.optimizer) == (weights, gradients, optimizer)
    assert found.activations == 10 + 3 * 7
    assert found.total == weights + gradients + optimizer + 31


def test_the_torch_engine_divides_nothing() -> None:
    alone = memory(100, 10, COST, 7, Resources(engine="torch"))
    assert alone == memory(100, 10, COST, 7, Resources(workers=8, engine="torch", stage=3))
    assert alone.total == 4 * 110 + 4 * 100 + 8 * 100 + 31


def test_hours(run: Run) -> None:
    assert hours(replace(run, steps=7200, batch=64), speed=128) == 1


class Product(Pretraining):
    """Its backward needs the input of each layer: of a record, 12 numbers, and 32 after the first."""

    columns = frozenset()

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.towers = SimpleNamespace(config=TowerConfig())  # type: ignore[assignment]
        self.one, self.two = nn.Linear(12, 32, bias=False), nn.Linear(32, 4, bias=False)

    def forward(self, batch: Batch, seed: int) -> tuple[torch.Tensor, dict]:
        return self.two(self.one(batch.scale)).sum(), {}


def test_what_backward_keeps_is_counted(run: Run) -> None:
    cost = measure(run, Product(), "fp32")
    assert (cost.fixed, cost.record) == (0, 4 * (12 + 32))
    # forward, and in backward the weights of both layers and the input of the second: the first one's needs none
    assert cost.operations == 2 * (12 * 32 + 32 * 4) + 2 * (12 * 32 + 32 * 4) + 2 * 32 * 4


def test_more_records_cost_more_of_a_real_method(run: Run) -> None:
    model = Pretraining.of(run)
    cost = measure(run, model, "fp32")
    few, many = (estimate._kept(model, estimate.made_up(run, model, n), "fp32") for n in (4, 8))
    assert few == cost.fixed + 4 * cost.record
    assert many == pytest.approx(cost.fixed + 8 * cost.record, rel=0.05)


def test_the_page_says_it_all_and_what_it_rests_on(run: Run) -> None:
    page = describe(run, Resources(workers=4, readers=2), None, "")
    assert "2 readers (--resources.readers)" in page
    assert "loss = 1*dbeta/mlm + " in page
    count = sum(p.numel() for p in Pretraining.of(run).parameters())
    assert f"{count:,}" in next(line for line in page.splitlines() if line.startswith("all "))
    assert "an assumption" in page
    assert "the smallest number of workers whose GPUs of 80 GB hold it: 1" in page
    assert "0.1 hours at 1 records/s (as given)" in describe(replace(run, steps=45), Resources(), 1.0, "as given")


def test_where_there_is_no_room_it_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "CARD", 1e3)
    assert "no number of workers that divides 8 slices has room" in describe(run, Resources(), 1.0, "")
