"""A mark for claims: the towers of a recipe taught by the labels themselves, in the same loop, steps and batches.

It is written as a method (ecgfm/objectives/__init__.py), so whatever trains a recipe trains this one. Labels of the
training and validation records are read; those of the test records are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ecgfm.evaluate import tasks
from ecgfm.evaluate.tasks import Task
from ecgfm.losses import masked
from ecgfm.model.encoded import Encoded
from ecgfm.model.pool import Project
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView
from ecgfm.run import Run


@dataclass(frozen=True)
class Config:
    shards: str
    labels: str
    """A label set of these shards, or a table."""
    least: int = 10
    terms: Mapping[str, float] = field(default_factory=lambda: {"label": 1.0})

    pool: Project = field(default_factory=Project)

    columns: ClassVar = ()

    @property
    def pools(self) -> dict[str, Project]:
        return {"summary": self.pool}

    def build(self, towers: Towers) -> "Objective":
        return Objective(self, towers.config.width)


class Objective(nn.Module):
    """The mean over labels of each one's cross-entropy, over the records that have labels."""

    record: Tensor
    label: Tensor

    def __init__(self, config: Config, width: int):
        super().__init__()
        splits = tasks.read(Task(config.shards, config.labels, config.least)).splits
        known = [splits["train"], splits["valid"]]
        record = np.concatenate([cohort.record for cohort in known])
        order = np.argsort(record)
        label = np.concatenate([cohort.labels for cohort in known])[order]
        self.register_buffer("record", torch.from_numpy(record[order]), persistent=False)
        self.register_buffer("label", torch.from_numpy(label), persistent=False)
        self.out = nn.Linear(width, label.shape[1])

    def forward(self, seen: Encoded) -> dict[str, Tensor]:
        place = torch.searchsorted(self.record, seen.batch.record).clamp(max=len(self.record) - 1)
        told = self.record[place] == seen.batch.record
        logits = self.out(seen.embed(EcgView())).float()
        value = functional.binary_cross_entropy_with_logits(logits, self.label[place].float(), reduction="none")
        return {"label": masked.mean(value.mean(1), told)}


def taught(run: Run, task: Task, pool: Project = Project()) -> Run:  # noqa: B008  (a pool is a value)
    """The recipe with labels in the place of its methods."""
    config = Config(task.shards, task.labels, task.least, pool=pool)
    return replace(run, objectives={"supervised": config}, embed="summary", negatives=None)
