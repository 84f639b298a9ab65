"""What recipes share: the full scale, and the same recipe on a smaller one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ecgfm.model.config import SIZES, TowerConfig
from ecgfm.run import Band, Cadence, Optimizer, Run, Schedule, override


def full(objectives: Mapping[str, Any], embed: str = "summary", negatives: Band | None = None) -> Run:
    """Eight H100s: the same towers, batch, steps and rates for every method, so that they differ in what they learn and
    in nothing else. The numbers are explained at `dbeta`."""
    return Run(
        towers=TowerConfig(),
        objectives=objectives,
        batch=1024,
        steps=37_500,
        negatives=negatives,
        optimizer=Optimizer(rates={"ecg": 1.4e-4, "text": 1.4e-5, "heads": 1.4e-4}),
        schedule=Schedule(warmup=0.1, hold=0.0, decline="cosine"),
        cadence=Cadence(log=10, save=500, evaluate=500),
        embed=embed,
    )


def small(run: Run) -> Run:
    """For a laptop: a text model of one's own (--towers.text.name), report vectors by words, 100 Hz."""
    shrunk = run.shrink(replace(run.towers, heads=SIZES["small"]), batch=64, steps=3000)
    rare = override(shrunk, {"cadence.evaluate": 600})  # a look costs up to 5 steps (fingerprint), 0.8 %
    return _modest(rare, 100, 10.0, 1e-3)


def tiny(run: Run) -> Run:
    """For tests: seconds."""
    shrunk = run.shrink(replace(run.towers, heads=SIZES["tiny"]), batch=8, steps=20)
    return _modest(shrunk, 100, 4.0, 1e-3)


def _modest(run: Run, rate: int, seconds: float, learning: float) -> Run:
    """All weights are new there, also the text model's, so one learning rate serves for all."""
    changes = {
        "frame.rate": rate,
        "frame.seconds": seconds,
        "optimizer.rates": dict.fromkeys(run.optimizer.rates, learning),
    }
    return override(run, changes | ({"negatives.encoder": "words"} if run.negatives else {}))
