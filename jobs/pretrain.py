"""Pretrain a recipe or methods, by name or dotted path:

    python jobs/pretrain.py dbeta --shards /data/shards/mimic-iv-ecg --to runs/dbeta@1 --resources.workers 8
    ray job submit --working-dir . --runtime-env jobs/runtime.yaml -- python jobs/pretrain.py dbeta --shards ...
    torchrun --nproc-per-node 8 jobs/pretrain.py dbeta --shards ... --to ... --resources.precision bf16

Killed at any moment and started again with the same command, it goes on as if nothing had happened. `--help` after the
recipe shows every field of it, and any of them can be given; --dry-run says what it would take. --from
runs/other@1@5000 branches from a checkpoint of another run; --towers-from takes its towers only.

Ends with 0: trained to the last step; 1: cannot go on, and says why, or where the code broke; 2: wrong words; 3:
workers died or hung, and the same command goes on from what was saved; 130: stopped by hand.
"""

import logging
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import takewhile

import torch
import torch.distributed as dist
import tyro
from rich.logging import RichHandler

from ecgfm import recipes
from ecgfm.data import reader
from ecgfm.data.storage import Folder, lasting
from ecgfm.evaluate.watch import watchers
from ecgfm.negatives.stock import in_process
from ecgfm.run import Resources
from ecgfm.train.ended import BrokenError, LostError
from ecgfm.train.estimate import describe
from ecgfm.train.job import EXPECTED, Job, Means, Watching, work
from ecgfm.train.journal import rows
from ecgfm.train.launch import launch
from ecgfm.train.patience import group_timeout

log = logging.getLogger("ecgfm")


@dataclass(frozen=True)
class Asked(Job):
    watch: tuple[str, ...] = ()
    """Tasks on which the towers are examined now and then (jobs/evaluate.py): corpus/set, or a parquet of labels."""
    watch_shards: tuple[str, ...] = ()
    """The shard folders of those tasks; without any, those of --shards."""
    dry_run: bool = False
    """Say what the run is, what it needs and how long it takes, and train nothing."""
    speed: float | None = None
    """Records per second, for --dry-run. Without it: as this run has done so far, or else a guess."""


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    names = [*takewhile(lambda word: not word.startswith("-"), given)]
    _log(logging.WARNING if int(os.environ.get("RANK", 0)) else logging.INFO)
    try:
        recipe = recipes.find(names)
    except (ValueError, ModuleNotFoundError) as error:
        log.error("%s", error)
        return 2
    torchrun = int(os.environ.get("WORLD_SIZE", 0))
    resources = Resources(workers=torchrun, launcher="here") if torchrun else Resources()
    asked = Asked(recipe, tyro.MISSING, tyro.MISSING, resources=resources)
    config = (tyro.conf.AvoidSubcommands,)
    job = tyro.cli(Asked, default=asked, args=given[len(names) :], description=__doc__, config=config)
    try:
        _pretrain(job, torchrun or 1)
    except KeyboardInterrupt:
        log.info("stopped; the same command goes on from the last checkpoint")
        return 130
    except LostError as error:
        log.error("%s", error)
        return 3
    except (*EXPECTED, BrokenError) as error:
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


def _pretrain(asked: Asked, there: int) -> None:
    job = Job(asked.run, asked.shards, lasting(asked.to).uri, asked.origin, asked.towers_from, asked.resources)
    reader.check_workers(job.run.slices, job.resources.workers)
    if asked.dry_run:
        print(describe(job.run, job.resources, *_speed(asked)))
        return
    if not asked.watch:
        log.info("neither zero-shot nor a probe is watched: --watch CORPUS/SET names labels to watch them by")
    uris = [Folder(uri).uri for uri in asked.watch_shards or asked.shards]
    watching = partial(watchers, uris, asked.watch)
    if job.resources.launcher == "ray":
        launch(job, watching)
    else:
        _here(job, watching, there)


def _speed(asked: Asked) -> tuple[float | None, str]:
    """Records per second, and who says so."""
    if asked.speed:
        return asked.speed, "as given"
    done = [row["time/records_per_second"] for row in rows(Folder(asked.to)) if row.get("time/records_per_second")]
    return (done[-1], f"as {Folder(asked.to)} has done last") if done else (None, "")


def _here(job: Job, watching: Watching, there: int) -> None:
    """In this process, and in those beside it that torchrun started."""
    if job.resources.workers != there:
        raise ValueError(
            f"{job.resources.workers} workers are asked for, and {there} are there: start them with torchrun "
            f"--nproc-per-node {job.resources.workers} jobs/pretrain.py ..., or leave out --resources.launcher here"
        )
    if there > 1:
        cpu = job.resources.device == "cpu" or not torch.cuda.is_available()
        wait = timedelta(seconds=group_timeout(job.resources.patience))
        dist.init_process_group("gloo" if cpu else "nccl", timeout=wait)
    patience = job.resources.patience if there > 1 else None  # one alone waits for nobody
    means = Means(partial(reader.read, threads=job.resources.readers), in_process, lambda _: None, patience)
    work(job, means, watching)


if __name__ == "__main__":
    sys.exit(main())
