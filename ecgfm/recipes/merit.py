"""MERIT."""

import math

from ecgfm.model.config import TowerConfig
from ecgfm.objectives import merit as method
from ecgfm.recipes.scale import small, tiny
from ecgfm.run import Cadence, Optimizer, Run, Schedule, override


def merit() -> Run:
    """MERIT (2605.27583) on our towers: three quarters of the patches dropped, InfoNCE, both at weight 1.

    Of the paper only the two branches are known. Three quarters are ST-MEM's, the scale at the start is MERL's. Batch,
    steps and rates are those of `dbeta`, so that methods differ in what they learn and in nothing else.

    Variation: --objectives.merit.loss sigmoid --objectives.merit.scale 10 is SigLIP's contrast.
    """
    return Run(
        towers=TowerConfig(),
        objectives={"merit": method.Config()},
        batch=1024,
        steps=37_500,
        optimizer=Optimizer(rates={"ecg": 1.4e-4, "text": 1.4e-5, "heads": 1.4e-4}),
        schedule=Schedule(warmup=0.1, hold=0.0, decline="cosine"),
        cadence=Cadence(log=10, save=500, evaluate=500),
        embed=method.POOL,
    )


def merit_small() -> Run:
    """`merit` for a laptop: a text model of one's own (--towers.text.name), 100 Hz."""
    return override(small(merit()), {"objectives.merit.bias": -math.log(63)})


def merit_tiny() -> Run:
    """`merit` for tests: seconds."""
    return override(tiny(merit()), {"objectives.merit.bias": -math.log(7)})
