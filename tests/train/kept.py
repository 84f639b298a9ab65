"""A run's folder with checkpoints in it, without the training."""

import torch

from ecgfm.data.storage import Folder
from ecgfm.run import Resources, Run
from ecgfm.train import claim
from ecgfm.train.checkpoint import Checkpoints, Place
from ecgfm.train.engine import TorchEngine
from ecgfm.train.pretraining import Pretraining


def trained(run: Run, home: Folder, *steps: int) -> list[Pretraining]:
    """The models that the checkpoints are of."""
    claim.record(home, run, {}, Resources(), 0, "")
    models, checkpoints = [], Checkpoints(home, run.cadence)
    for step in steps:
        torch.manual_seed(step)
        model = Pretraining.of(run)
        state = TorchEngine(model, model.groups(), run.optimizer).state()
        checkpoints.save(Place(step), {"model": state["model"]}, {})
        checkpoints.wait()
        models.append(model.eval())
    checkpoints.close()
    return models
