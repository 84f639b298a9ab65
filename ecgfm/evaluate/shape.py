"""The geometry (ecgfm/geometry.py) of the vectors by which a model is examined."""

import math

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ecgfm import draw, geometry
from ecgfm.data import shards
from ecgfm.data.storage import Folder
from ecgfm.embedder import Embedder
from ecgfm.evaluate import zeroshot
from ecgfm.evaluate.embed import Vectors, stored
from ecgfm.evaluate.tasks import Cohort, Examined

MOST = 2000  # records of which every two are compared, and whose reports are read


def shape(model: Vectors, examined: Examined) -> dict[str, float]:
    """Of the test records: n, d, vectors per record (k), and the figures that can be said.

    Of several vectors per record the mean is looked at, and then how they differ (geometry.slots). That, uniformity
    and what stands between recordings and their reports are of at most MOST records.
    """
    z, folder, cohort = _several(model, examined), examined.task.folder, examined.splits["test"]
    x, there = z.mean(1), torch.ones(len(z), dtype=torch.bool)
    few = draw.generator("shape").permutation(len(z))[:MOST]
    found = geometry.shape(x, there) | {"uniformity": geometry.uniformity(x[few], there[few])} | geometry.slots(z[few])
    found |= geometry.drift(x, torch.from_numpy(cohort.subject), torch.from_numpy(cohort.record))
    if zeroshot.reads(model.embedder):
        found |= _beside_reports(model.embedder, folder, cohort, few, x[few])
    said = {name: value.item() for name, value in found.items() if math.isfinite(value)}
    return {"n": len(x), "d": x.shape[1], "k": z.shape[1], **said}


def spectrum(model: Vectors, examined: Examined) -> Float[np.ndarray, "d"]:
    """Of the test records' vectors, each the mean of what its record has."""
    return geometry.spectrum(_several(model, examined).mean(1).numpy())


def _several(model: Vectors, examined: Examined) -> Float32[Tensor, "n k d"]:
    flat = torch.from_numpy(model.of(examined.task.folder, examined.splits["test"].record))
    return flat.view(len(flat), -1, model.embedder.towers.config.width)


def _beside_reports(
    embedder: Embedder, folder: Folder, cohort: Cohort, few: np.ndarray, x: Float32[Tensor, "m d"]
) -> dict[str, Tensor]:
    """Nothing where no record has a report."""
    numbers = np.full(len(few), -1)
    for index, row in stored(folder, cohort.record[few], ("report",)):
        numbers[index] = row["report"]
    there = np.flatnonzero(numbers >= 0)
    if not len(there):
        return {}
    said = shards.table(folder, "reports.parquet", ["text"])["text"].take(numbers[there]).to_pylist()
    reports = embedder.embed_reports(said).float().cpu()
    return geometry.between(x[torch.from_numpy(there)], reports, torch.ones(len(reports), dtype=torch.bool))
