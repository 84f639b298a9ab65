"""MERIT."""

import math

from ecgfm.objectives import merit as method
from ecgfm.recipes.scale import full, small, tiny
from ecgfm.run import Run, override


def merit() -> Run:
    """MERIT (2605.27583) on our towers: three quarters of the patches dropped, InfoNCE, both at weight 1.

    Of the paper only the two branches are known. Three quarters are ST-MEM's, the scale at the start is MERL's. Batch,
    steps and rates are those of `dbeta`, so that methods differ in what they learn and in nothing else.

    Variation: --objectives.merit.loss sigmoid --objectives.merit.scale 10 is SigLIP's contrast.
    """
    return full({"merit": method.Config()}, method.POOL)


def merit_small() -> Run:
    """`merit` for a laptop: a text model of one's own (--towers.text.name), 100 Hz."""
    return override(small(merit()), {"objectives.merit.bias": -math.log(63)})


def merit_tiny() -> Run:
    """`merit` for tests: seconds."""
    return override(tiny(merit()), {"objectives.merit.bias": -math.log(7)})
