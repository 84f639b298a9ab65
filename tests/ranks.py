"""Run a function in several processes that form a gloo group, as torchrun would."""

import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

PRELOAD = ["transformers.models.t5.modeling_t5", "ecgfm.train.pretraining", "ecgfm.train.loop", "torch._dynamo"]


def run(world: int, function: Callable, *args) -> list[Any]:
    """What `function(*args)` returns on each rank. It must be a module's, so that the processes find it."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.set_forkserver_preload(PRELOAD)
        mp.start_processes(_process, (world, folder, function, args), nprocs=world, start_method="forkserver")
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(world)]


def _process(rank: int, world: int, folder: str, function: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=world)
    torch.save(function(*args), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
