"""Pretrain a recipe, or methods by name or dotted path:

    python jobs/pretrain.py dbeta --shards /data/shards/mimic-iv-ecg --to runs/dbeta@1
    torchrun --nproc-per-node 8 jobs/pretrain.py dbeta --shards ... --to ... --resources.precision bf16

Killed at any moment and started again with the same command, it goes on as if nothing had happened. `--help` after the
recipe shows every field of it, and any of them can be given. --from runs/other@1@5000 branches from a checkpoint of
another run; --towers-from takes its towers only.
"""

import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Annotated

import torch
import torch.distributed as dist
import tyro
from rich.logging import RichHandler

from ecgfm import recipes
from ecgfm.batch import Batch
from ecgfm.data.plan import Position
from ecgfm.data.storage import Folder
from ecgfm.run import Resources, Run
from ecgfm.train import feed
from ecgfm.train.checkpoint import CheckpointError
from ecgfm.train.engine import TorchEngine
from ecgfm.train.lock import ClaimedError
from ecgfm.train.loop import Origin, StoppedError, held_out, train
from ecgfm.train.pretraining import Pretraining

log = logging.getLogger("ecgfm")

_HELD_OUT = 8  # batches, or as many as the held-out records fill
_EXPECTED = (FileNotFoundError, ValueError, ClaimedError, CheckpointError, StoppedError)


@dataclass(frozen=True)
class Job:
    run: Annotated[Run, tyro.conf.arg(name="")]
    shards: tuple[str, ...]
    """The shard folder of each corpus: paths or object-store URIs."""
    to: str
    """The run's folder, name@version: a path or an object-store URI."""
    origin: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Begin from another run: its folder, or folder@step. A checkpoint of this run comes first."""
    towers_from: str | None = None
    """Begin from the towers of another run."""
    resources: Resources = field(default_factory=Resources)


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    rank, workers = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    names = [*takewhile(lambda word: not word.startswith("-"), given)]
    _log(logging.WARNING if rank else logging.INFO)
    try:
        recipe = recipes.find(names)
    except (ValueError, ModuleNotFoundError) as error:
        log.error("%s", error)
        return 2
    asked = Job(recipe, tyro.MISSING, tyro.MISSING, resources=Resources(workers=workers))
    config = (tyro.conf.AvoidSubcommands,)
    job = tyro.cli(Job, default=asked, args=given[len(names) :], description=__doc__, config=config)
    try:
        _pretrain(job, workers)
    except KeyboardInterrupt:
        log.info("stopped; the same command goes on from the last checkpoint")
        return 130
    except _EXPECTED as error:
        log.error("%s", error)
        return 1
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


def _log(level: int) -> None:
    """On a terminal beside the line that is renewed there; else plain lines that can be searched."""
    if sys.stdout.isatty():
        logging.basicConfig(level=level, format="%(message)s", datefmt="[%X]", handlers=[RichHandler(show_path=False)])
    else:
        logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)


def _pretrain(job: Job, workers: int) -> None:
    if job.resources.workers != workers:
        raise ValueError(
            f"{job.resources.workers} workers are asked for, and {workers} are there: start them with torchrun "
            f"--nproc-per-node {job.resources.workers} jobs/pretrain.py ..."
        )
    run, folders = feed.corpora(job.run, job.shards)
    device = _device(job.resources.device)
    if workers > 1:
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    torch.manual_seed(run.seed)
    model = Pretraining(run.towers, run.objectives)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    log.info("%s; %.1f M parameters learn", model.equation(), learning / 1e6)
    engine = TorchEngine(model, model.groups(), run.optimizer, device, job.resources.precision)
    home, readers = Folder(job.to), job.resources.readers
    if engine.rank:
        engine.agree(0)  # wait: the first process writes what the others then read
    opened = feed.open_feed(run, [*folders.values()], home, model.columns, readers)
    if not engine.rank:
        engine.agree(0)

    def stream(split: str, position: Position, count: int) -> Iterator[tuple[Batch, Position]]:
        return opened.open(split, position.batch + count, position, engine.rank, workers)

    train(
        run,
        engine,
        partial(stream, "train"),
        home,
        {"held-out": held_out(engine, partial(stream, "valid", Position(), opened.batches("valid", _HELD_OUT)))},
        resources=job.resources,
        inputs=feed.inputs(folders, opened, model.towers.text),
        origin=_origin(job),
    )


def _device(asked: str) -> str:
    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return "cpu"
    device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    torch.cuda.set_device(device)
    return device


def _origin(job: Job) -> Origin | None:
    if job.origin and job.towers_from:
        raise ValueError("--from takes all of another run, its towers too: give one of --from and --towers-from")
    text = job.origin or job.towers_from
    return Origin.parse(text, towers_only=bool(job.towers_from)) if text else None


if __name__ == "__main__":
    sys.exit(main())
