"""Several methods in one run: a pass that two of them want is made once."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from batches import make, tiny

from ecgfm.model.encoded import Encoded
from ecgfm.objectives import find, names
from ecgfm.recipes.dbeta import dbeta
from ecgfm.recipes.together import together
from ecgfm.run import Run
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
    assert passes(text_model, dbeta().objectives) == 2
    assert passes(text_model, together().objectives) == 2


def test_it_differs_from_dbeta_in_its_objectives_only() -> None:
    def others(run: Run) -> Run:
        return replace(run, objectives={})

    assert others(together()) == others(dbeta())
    assert together().objectives["dbeta"] == dbeta().objectives["dbeta"]


def test_all_methods_in_one_run(text_model: str) -> None:
    """Of their views one is the same: the whole recording, which meets the report in MERIT and is spread in dense."""
    every = {name: find(name).Config() for name in names()}
    alone = {name: passes(text_model, {name: config}) for name, config in every.items()}
    assert alone == {"crossl": 3, "dbeta": 2, "dense": 1, "fingerprint": 1, "merit": 3}
    assert passes(text_model, every) == sum(alone.values()) - 1
