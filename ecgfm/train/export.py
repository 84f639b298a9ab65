"""From a run's checkpoint to towers that stand for themselves, which `ecgfm.load` reads (ecgfm/model/saved.py)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from ecgfm.data.storage import Folder
from ecgfm.model import saved
from ecgfm.model.text import TableConfig
from ecgfm.model.towers import Towers
from ecgfm.run import Run, rebuild
from ecgfm.train.checkpoint import load, newest
from ecgfm.train.pretraining import built


class Held(NamedTuple):
    """What a checkpoint of a run holds of the model."""

    run: Run
    identity: str
    step: int
    weights: Mapping[str, Tensor]


def held(home: Folder, step: int | None = None) -> Held:
    """Of its newest checkpoint, or of that of a step."""
    if not home.exists("run.json"):
        raise FileNotFoundError(f"{home} is no run's folder: it holds no run.json")
    told = json.loads(home.read("run.json"))
    found = load(home, step) if step is not None else newest(home)
    if not found:
        raise FileNotFoundError(f"{home} holds no checkpoint yet")
    place, state = found[:2]
    return Held(rebuild(told["recipe"]), told["identity"], place.step, state["model"])


def export(home: Folder, step: int | None = None) -> int:
    """Write the towers of a run into its folder, as they are in its newest checkpoint or in that of a step.

    Returns the step. A table of report embeddings stays behind, and with it what was learnt over it: it is of the
    reports that were trained on, and of no others.
    """
    run, identity, made, weights = held(home, step)
    config = built(run)
    if isinstance(config.text, TableConfig):
        config = replace(config, text=None)
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("towers.text.")}
    given = {n.removeprefix("towers."): tensor for n, tensor in weights.items() if n.startswith("towers.")}
    towers = Towers(config, pretrained=False)
    saved.fill(towers, given, f"checkpoint {made} of {home}")
    saved.write(home, saved.Card(config, run.frame, run.embed, run.aligned, run.words, identity, made), towers)
    return made
