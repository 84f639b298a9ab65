"""Several methods in one run."""

from dataclasses import replace

from ecgfm.model.views import EcgView
from ecgfm.objectives import dense, fingerprint
from ecgfm.recipes.dbeta import dbeta, dbeta_small, dbeta_tiny
from ecgfm.run import Run


def together() -> Run:
    """D-BETA, a fingerprint and balance, over the passes of D-BETA.

    Each gives what the others lack. D-BETA ties a recording to its report, and fills in the signal with the report's
    help; what no report tells, the fingerprint has to keep, which draws the signal from the ECG alone. These two are
    MERIT's branches. Balance keeps the vector that downstream is given from leaning on the few directions that tell
    reports apart. The fingerprint and balance look at what D-BETA has encoded, half of the leads and a quarter of the
    patches, so the towers run as often as for D-BETA alone. MERIT's own contrast would add a pass over whole recordings
    and one over reports, and CroSSL one per group of leads.

    The weights: the fingerprint's own, and a tenth for balance, which is a guard and no aim.

    At small scale this is no better than D-BETA alone, and MERIT alone is better (jobs/records/together@1).
    """
    return _beside(dbeta())


def together_small() -> Run:
    """`together` for a laptop: a text model of one's own (--towers.text.name), report vectors by words, 100 Hz."""
    return _beside(dbeta_small())


def together_tiny() -> Run:
    """`together` for tests: seconds."""
    return _beside(dbeta_tiny())


def _beside(alone: Run) -> Run:
    first = alone.objectives["dbeta"]
    shared = EcgView(leads=first.leads, tokens=first.tokens)
    objectives = {
        "dbeta": first,
        "fingerprint": fingerprint.Config(leads=shared.leads, tokens=shared.tokens),
        "dense": dense.Config({"balance": 0.1}, seen=shared),
    }
    return replace(alone, objectives=objectives)
