"""Several methods in one run: a pass that two of them want is made once."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from batches import make, tiny

from ecgfm import recipes
from ecgfm.model.encoded import Encoded
from ecgfm.model.views import EcgView
from ecgfm.objectives import find, names
from ecgfm.recipes.dbeta import dbeta
from ecgfm.recipes.together import together
from ecgfm.train.pretraining import Pretraining

ROWS = 8


def passes(text: str, objectives: Mapping[str, Any]) -> int:
    """How often the towers run in a step, as counted in the towers themselves."""
    torch.manual_seed(0)
    model = Pretraining(tiny(text), objectives)
    runs = []
    towers = [model.towers.ecg] + ([] if model.towers.text is None else [model.towers.text])
    for tower in towers:
        tower.register_forward_hook(lambda *_: runs.append(1))
    loss, made = model(make(ROWS), 1)
    assert made.keys() == {f"{name}/{term}" for name, config in objectives.items() for term in config.terms}
    assert loss.isfinite()
    encoded = Encoded(model.towers, make(ROWS), 1)
    count = len(runs)
    for objective in model.objectives.values():
        objective(encoded)
    assert encoded.passes == count
    return count


def test_together_runs_the_towers_as_often_as_dbeta_alone(text_model: str) -> None:
    assert passes(text_model, dbeta().objectives) == 3
    assert passes(text_model, together().objectives) == 3


@pytest.mark.parametrize("size", ["", "_small", "_tiny"])
def test_it_differs_from_dbeta_in_its_objectives_only(size: str) -> None:
    both, alone = recipes.find([f"together{size}"]), recipes.find([f"dbeta{size}"])
    assert replace(both, objectives={}) == replace(alone, objectives={})
    first = both.objectives["dbeta"]
    assert first == alone.objectives["dbeta"]
    assert both.objectives["fingerprint"].view == both.objectives["dense"].seen == EcgView(first.leads, first.tokens)


def test_all_methods_in_one_run(text_model: str) -> None:
    """Of their views two are the same: the whole recording, which meets the report in MERIT and is spread in dense, and
    the report itself, which MERIT and D-BETA align."""
    every = {name: find(name).Config() for name in names()}
    alone = {name: passes(text_model, {name: config}) for name, config in every.items()}
    assert alone == {"crossl": 3, "dbeta": 3, "dense": 1, "fingerprint": 1, "merit": 3}
    assert passes(text_model, every) == sum(alone.values()) - 2
