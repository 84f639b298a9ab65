"""Processes that train together over gloo, for tests. One server forks them all, so that torch is imported once."""

import os
import socket
import sys
from collections.abc import Callable
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

SERVER = get_context("forkserver")
SERVER.set_forkserver_preload(["toy", "workers", "torch._dynamo"])  # the last is what the first optimizer imports
with pytest.MonkeyPatch.context() as patch:  # Python 3.11 does not tell the server where to find them
    patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    forkserver.ensure_running()


def together(count: int, work: Callable[..., None], *given: Any) -> None:
    """Run `work(*given)` in `count` processes of one group."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [SERVER.Process(target=_member, args=(rank, count, port, work, *given)) for rank in range(count)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0] * count


def _member(rank: int, count: int, port: int, work: Callable[..., None], *given: Any) -> None:
    alone()
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(count))
    dist.init_process_group("gloo")
    work(*given)
    dist.destroy_process_group()


def alone() -> None:
    """One thread, and no words on the terminal of the tests."""
    torch.set_num_threads(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)


def part(folder: Path, name: str) -> Path:
    """Where a process leaves what it found."""
    return folder / f"{name}-{os.environ['RANK']}.pt"
