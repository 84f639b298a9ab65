"""TS-Fingerprint."""

from ecgfm.objectives import fingerprint as method
from ecgfm.recipes.scale import full, small, tiny
from ecgfm.run import Run, override


def fingerprint() -> Run:
    """TS-Fingerprint (2605.00130) on our towers: 8 tokens, 60 % of the patches dropped.

    Of the paper only these two and the squared error are known, from a digest; its encoder has 6 layers, it trains
    with Adam, and its inputs are windows of a second. Batch, steps and rates here are those of `dbeta`, so that methods
    differ in what they learn and in nothing else.

    Variation: --objectives.fingerprint.pool.count 32 is another number of tokens.
    """
    return full({"fingerprint": method.Config()}, method.POOL)


def fingerprint_small() -> Run:
    """`fingerprint` for a laptop, at 100 Hz. A quarter of the patches is dropped, as in `dbeta_small`."""
    return override(small(fingerprint()), {"objectives.fingerprint.tokens": 0.25})


def fingerprint_tiny() -> Run:
    """`fingerprint` for tests: seconds."""
    return tiny(fingerprint())
