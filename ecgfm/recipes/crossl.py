"""CroSSL: one vector from any subset of the leads, learnt without reports."""

from ecgfm.objectives import crossl as method
from ecgfm.recipes.scale import full, small, tiny
from ecgfm.run import Run


def crossl() -> Run:
    """CroSSL (2307.16847) over limb, augmented and precordial leads.

    The paper's own sizes (batches of 8, Adam 1e-4, 50 epochs) are for recordings of four channels from a few dozen
    people; batch, rates and schedule here are those of the other methods, so that they can be compared. The world batch
    is larger than the vectors are wide: the covariance of fewer records cannot have full rank.

    Variations: --objectives.crossl.groups leads is a modality per lead, and twelve passes instead of three;
    --objectives.crossl.own True is an encoder for each group of leads, as in the paper, where all share the ECG tower;
    --objectives.crossl.groups whole --objectives.crossl.kinds ppg is the ECG and the pulse wave beside it.
    """
    return full({"crossl": method.Config()}, method.POOL)


def crossl_small() -> Run:
    """`crossl` for a laptop: 100 Hz."""
    return small(crossl())


def crossl_tiny() -> Run:
    """`crossl` for tests: seconds."""
    return tiny(crossl())
