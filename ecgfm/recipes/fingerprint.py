"""TS-Fingerprint."""

from ecgfm.model.config import TowerConfig
from ecgfm.objectives import fingerprint as method
from ecgfm.recipes.scale import small, tiny
from ecgfm.run import Cadence, Optimizer, Run, Schedule


def fingerprint() -> Run:
    """TS-Fingerprint (2605.00130) on our towers: 8 tokens, 60 % of the patches dropped.

    Of the paper only these two and the squared error are known, from a digest; its encoder has 6 layers, it trains
    with Adam, and its inputs are windows of a second. Batch, steps and rates here are those of `dbeta`, so that methods
    differ in what they learn and in nothing else.

    Variation: --objectives.fingerprint.pool.count 32 is another number of tokens.
    """
    return Run(
        towers=TowerConfig(),
        objectives={"fingerprint": method.Config()},
        batch=1024,
        steps=37_500,
        optimizer=Optimizer(rates={"ecg": 1.4e-4, "text": 1.4e-5, "heads": 1.4e-4}),
        schedule=Schedule(warmup=0.1, hold=0.0, decline="cosine"),
        cadence=Cadence(log=10, save=500, evaluate=500),
        embed=method.POOL,
    )


def fingerprint_small() -> Run:
    """`fingerprint` for a laptop, at 100 Hz."""
    return small(fingerprint())


def fingerprint_tiny() -> Run:
    """`fingerprint` for tests: seconds."""
    return tiny(fingerprint())
