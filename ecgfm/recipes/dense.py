"""Dense features."""

from ecgfm.objectives import dense as method
from ecgfm.recipes.scale import full, small, tiny
from ecgfm.run import Run, override


def dense() -> Run:
    """Dense features (2602.07706) of the ECG: balance, orthogonality and consistency between visits, each at weight 1.

    Of the paper only the three properties are known. The world batch is larger than the vectors are wide, without which
    no batch can be balanced; batch, steps and rates are those of `dbeta`, so that methods differ in what they learn and
    in nothing else. The stream brings two visits of a patient side by side.

    Variations: `dbeta dense` trains it beside D-BETA on that method's vector; --objectives.dense.of joint looks at
    recordings and reports together.
    """
    return full({"dense": method.Config()}, method.OWN)


def dense_small() -> Run:
    """`dense` for a laptop, at 100 Hz. Batches of 64 fill 63 of 256 directions at most."""
    return small(dense())


def dense_tiny() -> Run:
    """`dense` for tests: seconds. A slice is a pair, so the batch is twice that of other methods."""
    return override(tiny(dense()), {"batch": 16})
