"""The same recipe on a smaller scale."""

from dataclasses import replace

from ecgfm.model.config import SIZES
from ecgfm.run import Run, override


def small(run: Run) -> Run:
    """For a laptop: a text model of one's own (--towers.text.name), report vectors by words, 100 Hz."""
    shrunk = run.shrink(replace(run.towers, heads=SIZES["small"]), batch=64, steps=3000)
    rare = override(shrunk, {"cadence.evaluate": 200})  # a look costs as much as five steps here
    return _modest(rare, 100, 10.0, 5e-4)


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
