"""The geometry (ecgfm/geometry.py) of the vectors by which a model is examined."""

import math

import torch

from ecgfm import draw, geometry
from ecgfm.evaluate.embed import Vectors
from ecgfm.evaluate.tasks import Examined

MOST = 2000  # records of which every two are compared


def shape(model: Vectors, examined: Examined) -> dict[str, float]:
    """Of the test records: n, d, vectors per record (k), and the figures that can be said.

    Of several vectors per record the mean is looked at, and then how they differ (geometry.slots). That and uniformity
    are of at most MOST records.
    """
    flat = torch.from_numpy(model.of(examined.task.folder, examined.splits["test"].record))
    z = flat.view(len(flat), -1, model.embedder.towers.config.width)
    x, there = z.mean(1), torch.ones(len(z), dtype=torch.bool)
    few = draw.generator("shape").permutation(len(z))[:MOST]
    found = geometry.shape(x, there) | {"uniformity": geometry.uniformity(x[few], there[few])} | geometry.slots(z[few])
    said = {name: value.item() for name, value in found.items() if math.isfinite(value)}
    return {"n": len(x), "d": x.shape[1], "k": z.shape[1], **said}
