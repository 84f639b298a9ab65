"""A job on Ray: Ray Train starts its workers, Ray Data reads for them.

What Ray is given and what it is not. Ray Train starts the processes, joins them in a group, and ends all when one dies;
it is told figures and no checkpoints, which are ours, and every launch has a name of its own, since Ray would go on
from what it remembers under a name. Nothing restarts itself, not even a start that found no room: a launch that failed
ends, and says by its exit code whether the same command would go on (workers that died or hung) or would fail again. So
there is one way back from whatever was lost, be it a worker, the driver or the cluster, and an error in the recipe is
not tried three times.

The stream begins once the workers know where they stand: the first has Ray Data begin there, and hands the others their
parts.
"""

import logging
import os
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch.distributed as dist
from ray.exceptions import RayActorError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from ecgfm.data import stream
from ecgfm.data.plan import Position
from ecgfm.data.reader import Reader
from ecgfm.data.storage import Folder
from ecgfm.negatives.service import service
from ecgfm.run import Resources
from ecgfm.train.ended import START, broken, is_lost, not_led, said
from ecgfm.train.feed import Stream
from ecgfm.train.job import EXPECTED, Job, Means, Watching, work
from ecgfm.train.patience import group_timeout

_START = 600.0  # seconds that workers may take to start
_GPU = 0.9  # of one, so that no two share it and the service of false reports finds room beside
_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",  # how soon a death is seen, and how long a second report would wait
    START: f"{_START:.0f}",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # else what a worker prints is said twice
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
_ONCE = FailureConfig(max_failures=0, controller_failure_limit=0, max_preemption_failures=0)  # by itself Ray has no end
_WIDE = 512  # channels of towers that are too many for CPUs: recipes that end in _small have 256

log = logging.getLogger(__name__)


def launch(job: Job, watching: Watching) -> None:
    """Train on Ray's workers to the last step."""
    if not ray.is_initialized():
        ray.init(logging_level=logging.WARNING)
    resources = fitted(job.resources, ray.cluster_resources())
    _announce(job, resources)
    os.environ.update({name: os.environ.get(name, value) for name, value in _SETTINGS.items()})
    if resources.patience:
        os.environ.setdefault("RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S", f"{resources.patience:.0f}")
    each = {"CPU": resources.trainer_cpus} | ({"GPU": _GPU} if resources.device == "cuda" else {})
    with tempfile.TemporaryDirectory() as scratch:  # where Ray would keep checkpoints
        trainer = TorchTrainer(
            partial(_worker, replace(job.settled(), resources=resources), watching, os.getcwd()),
            scaling_config=ScalingConfig(
                num_workers=resources.workers, use_gpu=resources.device == "cuda", resources_per_worker=each
            ),
            torch_config=TorchConfig(timeout_s=round(group_timeout(resources.patience))),
            run_config=RunConfig(
                name=f"{Folder(job.to).name}-{uuid.uuid4().hex[:8]}", storage_path=scratch, failure_config=_ONCE
            ),
        )
        try:
            trainer.fit()
        except ray.train.WorkerGroupError as error:
            raise said(error.worker_failures) from None
        except ray.train.ControllerError as error:
            raise not_led(error.controller_failure) from None
        except (ray.train.PreemptionError, RayActorError) as error:
            raise not_led(error) from None
        except SystemExit:  # Ray's answer to Ctrl-C and to `ray job stop`
            raise KeyboardInterrupt from None


def fitted(resources: Resources, cluster: Mapping[str, float]) -> Resources:
    """With the device that the cluster offers. Refused where it is too small: Ray would wait for ever."""
    gpus = cluster.get("GPU", 0)
    device = resources.device if resources.device != "auto" else "cuda" if gpus else "cpu"
    parts = resources.cpus()
    if sum(parts.values()) > cluster.get("CPU", 0):
        needed = ", ".join(f"{cpus:g} for {part}" for part, cpus in parts.items())
        raise ValueError(
            f"the cluster has {cluster.get('CPU', 0):g} logical CPUs, and the run needs {sum(parts.values()):g} "
            f"({needed}): give it more (ray start --num-cpus), or lower --resources.workers, "
            "--resources.trainer-cpus or --resources.readers"
        )
    if device == "cuda" and gpus < resources.workers:
        raise ValueError(
            f"the cluster has {gpus:g} GPUs, and the run needs one for each of its {resources.workers} workers: lower "
            "--resources.workers, or train on CPUs with --resources.device cpu"
        )
    taken = _GPU * resources.workers if device == "cuda" else 0
    if resources.negatives_gpus and taken + resources.negatives_gpus > gpus + 1e-6:  # 0.9 + 0.1 is no exact sum
        raise ValueError(
            f"the cluster has {gpus:g} GPUs, and no {resources.negatives_gpus:g} of one is left for the service of "
            "false reports: lower --resources.negatives-gpus"
        )
    return replace(resources, device=device)


def _announce(job: Job, resources: Resources) -> None:
    log.info(
        "%d workers on %s, %s, stage %d, %s; %d readers",
        *(resources.workers, resources.device, resources.engine, resources.stage),
        *(resources.precision, resources.readers),
    )
    if job.resources.device == "auto" and resources.device == "cpu" and getattr(job.run.towers, "width", 0) >= _WIDE:
        log.warning(
            "the cluster has no GPU, or none yet, and this recipe is large for CPUs (--dry-run tells): stop it and "
            "start it when `ray status` shows GPUs, or ask for them with --resources.device cuda"
        )


def _worker(job: Job, watching: Watching, folder: str) -> None:
    """In each of Ray's workers."""
    rank = dist.get_rank()
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("ecgfm").setLevel(logging.WARNING if rank else logging.INFO)
    if Path(folder).is_dir():  # a recipe may name files from where the command was given
        os.chdir(folder)
    resources = job.resources
    read = partial(_streamed, tasks=resources.readers)
    asker = service(resources.negatives_cpus, resources.negatives_gpus, resources.patience)
    try:
        work(job, Means(read, asker, ray.train.report, resources.patience), watching)
    except Exception as error:
        if isinstance(error, EXPECTED) or is_lost(error):
            raise
        raise broken(rank, error).with_traceback(error.__traceback__) from None


def _streamed(
    reader: Reader, stop: int, position: Position, rank: int, workers: int, tasks: int | None = None
) -> Stream:
    """All workers call this together."""
    parts: list[Any] = [None] * workers
    if rank == 0:
        parts = stream.dataset(reader, stop, position, tasks).streaming_split(workers, equal=True)
    dist.broadcast_object_list(parts)
    return stream.read(parts[rank], reader, stop, position, rank, workers)
