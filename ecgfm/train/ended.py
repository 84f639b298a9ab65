"""How a launch on Ray ended, by what its workers raised: they were lost, and the same command goes on; or it says what
to do; or it is broken, and would end so again.

What is broken is told by the error's type and its place in the code, without its text, which may hold data.
"""

import os
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed as dist
from ray.exceptions import ObjectLostError, RayActorError, WorkerCrashedError
from ray.train.v2._internal.exceptions import (
    RayTrainError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
)

from ecgfm.train.job import EXPECTED

START = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
_AGAIN = "what was saved is whole, and the same command goes on from there"
_LOST = (TimeoutError, RayTrainError, RayActorError, WorkerCrashedError, ObjectLostError, dist.DistError)
_PACKAGE = Path(__file__).parents[1]
_OTHERS = (*(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")), "<")  # whose code it is not


class LostError(RuntimeError):
    """Workers that died or hung."""


class BrokenError(RuntimeError):
    """A worker's error that does not say what to do: one in the code, or too little memory."""


def said(failures: Mapping[int, Exception]) -> Exception:
    """Of what workers raised, what says what to do; the others' complaints are consequences."""
    lost = {rank: error for rank, error in failures.items() if is_lost(error)}
    own = {rank: error for rank, error in failures.items() if rank not in lost}
    for error in own.values():
        if isinstance(error, EXPECTED):
            return error
    dead = [rank for rank, error in lost.items() if isinstance(error, RayTrainError)]
    if own and not dead:  # what breaks when another dies may be no error of torch's
        rank, error = min(own.items())
        failed = BrokenError(f"worker {rank} failed ({type(error).__name__}), and its log says more")
        return error if isinstance(error, BrokenError) else failed
    for error in lost.values():
        if isinstance(error, TimeoutError):
            return LostError(str(error))
    first = min(dead or lost)
    return LostError(f"worker {first} was lost ({type(failures[first]).__name__}; its log says more): {_AGAIN}")


def not_led(error: Exception) -> Exception:
    """Of what kept Ray Train from starting or leading the workers."""
    if isinstance(error, WorkerGroupStartupTimeoutError):
        return LostError(
            f"no room for {error.num_workers} workers within {os.environ[START]} s: `ray status` shows what holds the "
            "cluster's CPUs and GPUs; wait until they are free, or lower --resources.workers, and give the command "
            "again"
        )
    told = f"the workers could not be started or led ({type(error).__name__})"
    return LostError(f"{told}: {_AGAIN}") if is_lost(error) else BrokenError(f"{told}, and Ray's log says more")


def is_lost(error: Exception) -> bool:
    """Whether it tells of a process that died or hung, be it another."""
    if isinstance(error, WorkerHealthCheckFailedError):  # also of a worker whose error cannot be read
        error = error.health_check_failure
    return isinstance(error, _LOST) or "gloo/transport" in str(error)  # gloo has no type of its own for it


def broken(rank: int, error: Exception) -> BrokenError:
    """Names the innermost line of our code or a user's."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if _PACKAGE in Path(f.filename).parents or not f.filename.startswith(_OTHERS)]
    name, line = ours[-1].filename.removeprefix(f"{_PACKAGE.parent}/"), ours[-1].lineno
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    remedy = ": it takes more workers, a higher --resources.stage or bf16" if memory else ", and its log says more"
    return BrokenError(f"worker {rank} failed with {type(error).__name__} at {name}:{line}{remedy}")
