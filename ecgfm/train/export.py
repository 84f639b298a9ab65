"""From a run's checkpoint to towers that stand for themselves, which `ecgfm.load` reads (ecgfm/model/saved.py)."""

import json
from dataclasses import replace

from ecgfm.data.storage import Folder
from ecgfm.model import saved
from ecgfm.model.text import TableConfig
from ecgfm.model.towers import Towers
from ecgfm.run import Run, rebuild
from ecgfm.train.checkpoint import load, newest
from ecgfm.train.pretraining import built


def export(home: Folder, step: int | None = None) -> int:
    """Write the towers of a run into its folder, as they are in its newest checkpoint or in that of a step.

    Returns the step. A table of report embeddings stays behind, and with it what was learnt over it: it is of the
    reports that were trained on, and of no others.
    """
    if not home.exists("run.json"):
        raise FileNotFoundError(f"{home} is no run's folder: it holds no run.json")
    held = json.loads(home.read("run.json"))
    run: Run = rebuild(held["recipe"])
    found = load(home, step) if step is not None else newest(home)
    if not found:
        raise FileNotFoundError(f"{home} holds no checkpoint yet: there is nothing to export")
    place, state = found[:2]
    config, weights = built(run), state["model"]
    if isinstance(config.text, TableConfig):
        config = replace(config, text=None)
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("towers.text.")}
    given = {n.removeprefix("towers."): tensor for n, tensor in weights.items() if n.startswith("towers.")}
    towers = Towers(config, pretrained=False)
    saved.fill(towers, given, f"checkpoint {place.step} of {home}")
    saved.write(home, saved.Card(config, run.frame, run.embed, run.words, held["identity"], place.step), towers)
    return place.step
