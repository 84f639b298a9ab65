"""The mark that is taught by labels: it reads those of the record in hand, and none of a test record."""

import sys
from dataclasses import replace

import labelled
import pytest
import torch
from batches import make, tiny
from conftest import REPOSITORY

from ecgfm import recipes
from ecgfm.evaluate import tasks
from ecgfm.evaluate.tasks import Task
from ecgfm.train.pretraining import Pretraining

sys.path.append(str(REPOSITORY / "tools"))

from supervised import Config, taught  # pyright: ignore[reportMissingImports]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> labelled.Made:
    return labelled.make(tmp_path_factory.mktemp("labelled"))


def test_only_labels_that_are_told_teach(made: labelled.Made, text_model: str) -> None:
    torch.manual_seed(0)
    config = Config(made.shards, made.table, least=5)
    model = Pretraining(tiny(text_model), {"supervised": config}).eval()
    objective, splits = model.objectives["supervised"], tasks.read(Task(made.shards, made.table, 5)).splits
    torch.nn.init.zeros_(objective.out.weight)
    own = splits["train"]
    with torch.no_grad():
        objective.out.bias.copy_(torch.from_numpy(own.labels[3] * 40.0 - 20.0))  # sure of what record 3 has
        batch = make(records=4)
        known = replace(batch, record=torch.from_numpy(own.record[[3, 3, 3, 3]]))
        assert model(known, 0)[0].item() == pytest.approx(0, abs=1e-6)
        unknown = replace(batch, record=torch.from_numpy(splits["test"].record[:4]))
        assert model(unknown, 0)[0].item() == 0
        differs = next(row for row, labels in enumerate(own.labels) if (labels != own.labels[3]).any())
        mixed = replace(batch, record=torch.tensor([*own.record[[3, differs]], *splits["test"].record[:2]]))
        share = (own.labels[differs] != own.labels[3]).mean()
        assert model(mixed, 0)[0].item() == pytest.approx(20 * share / 2, rel=1e-3)


def test_it_takes_the_place_of_a_recipe_s_methods() -> None:
    base = recipes.find(["dbeta_tiny"])
    run = taught(base, Task("shards", "labels"))
    assert [*run.objectives] == ["supervised"]
    assert replace(run, objectives=base.objectives, negatives=base.negatives) == base
