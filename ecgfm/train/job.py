"""A training job: what is asked for, and what each of its processes does, whoever started them."""

import errno
import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro

from ecgfm import geometry
from ecgfm.data.plan import Position
from ecgfm.data.reader import Reader
from ecgfm.data.storage import Folder, StoreError
from ecgfm.negatives.stock import Ask, Stock
from ecgfm.run import Resources, Run
from ecgfm.train import feed
from ecgfm.train.checkpoint import CheckpointError
from ecgfm.train.engine import Engine, TorchEngine
from ecgfm.train.export import export
from ecgfm.train.feed import Feed, Stream
from ecgfm.train.lock import ClaimedError
from ecgfm.train.loop import Origin, Report, StoppedError, Watcher, check_best, held_out, train
from ecgfm.train.patience import Patience
from ecgfm.train.pretraining import Pretraining

log = logging.getLogger(__name__)


class WriteError(RuntimeError):
    """A run's folder that cannot be written to."""


# These say what to do.
EXPECTED = (FileNotFoundError, StoreError, ValueError, ClaimedError, CheckpointError, StoppedError, WriteError)
Watching = Callable[[Run, Engine], Mapping[str, Watcher]]
Read = Callable[[Reader, int, Position, int, int], Stream]  # to batch `stop`, from a position, of rank and workers
_HELD_OUT = 8  # batches, or as many as the held-out records fill
_NO_READ = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # errors that only a write can meet


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

    def begins(self) -> Origin | None:
        if self.origin and self.towers_from:
            raise ValueError("--from takes all of another run, its towers too: give one of --from and --towers-from")
        text = self.origin or self.towers_from
        return Origin.parse(text, towers_only=bool(self.towers_from)) if text else None

    def settled(self) -> "Job":
        """The same job wherever it is read: with absolute paths, as its workers stand elsewhere."""
        return replace(
            self,
            shards=tuple(Folder(uri).uri for uri in self.shards),
            to=Folder(self.to).uri,
            origin=self.origin and Folder(self.origin).uri,
            towers_from=self.towers_from and Folder(self.towers_from).uri,
        )


@dataclass(frozen=True)
class Means:
    """Whence a process has its batches and its false reports, whom it tells how it goes, and how long it may hang."""

    read: Read
    asker: Callable[[Stock], Ask]
    report: Report
    patience: float | None


def work(job: Job, means: Means, watching: Watching) -> None:
    """One process of a job, from building the model to the last step. Where there are several, their group stands."""
    try:
        with Patience(means.patience) as clock:
            _work(job, means, watching, clock)
    except OSError as error:
        if error.errno not in _NO_READ and not _about(error, Folder(job.to)):
            raise
        what = f"{error.strerror} ({error.filename})" if error.filename else error.strerror
        raise WriteError(
            f"{Folder(job.to)} cannot be written to: {what}. What was saved is whole: mend that and give the same "
            "command again"
        ) from error


def _about(error: OSError, home: Folder) -> bool:
    """Whether it names the folder, what is in it, or one that it lies in."""
    file, place = Path(error.filename or "-"), Path(home.path())
    return file.is_relative_to(place) or place.is_relative_to(file)


def _work(job: Job, means: Means, watching: Watching, clock: Patience) -> None:
    run, folders = feed.corpora(job.run, job.shards)
    model = _model(run)
    text_model = feed.hash_of(model.towers.text)
    engine, home = _engine(job, model), Folder(job.to)
    threads = job.resources.readers
    make = partial(feed.open_feed, run, [*folders.values()], home, model.columns, threads, means.asker)
    opened = _first_alone(engine, make)
    opened.reader("valid")  # what it lacks is said here, and not after hundreds of steps

    def stream(position: Position, count: int) -> Stream:
        bare = means.read(opened.reader("train"), position.batch + count, position, engine.rank, engine.workers)
        return opened.dress(bare)

    def valid() -> Stream:
        return opened.open("valid", opened.batches("valid", _HELD_OUT), Position(), engine.rank, engine.workers)

    watchers = {
        "held-out": held_out(engine, valid),
        "geometry": geometry.watch(valid, bf16=job.resources.precision == "bf16"),
        **watching(run, engine),
    }
    _check_best(run.cadence.best, watchers, model)
    train(
        run,
        engine,
        stream,
        home,
        watchers,
        resources=job.resources,
        inputs=feed.inputs(folders, opened, text_model),
        origin=job.begins(),
        report=means.report,
        clock=clock,
    )
    clock.long()
    if engine.rank == 0:
        export(home)


def _model(run: Run) -> Pretraining:
    torch.manual_seed(run.seed)
    model = Pretraining.of(run)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    log.info("%s; %.1f M parameters learn", model.equation(), learning / 1e6)
    return model


def _check_best(best: str, watchers: Collection[str], model: Pretraining) -> None:
    """As far as the names are known before a step: which figures the geometry has depends on the records."""
    known = [f"held-out/{name}" for name in ("loss", *model.weights)]
    others = [name for name in watchers if name != "held-out"]
    if not any(best.startswith(f"{name}/") for name in others):
        check_best(best, [*known, *(f"{name}/..." for name in others)])


def _engine(job: Job, model: Pretraining) -> Engine:
    resources, device = job.resources, _device(job.resources)
    if resources.engine == "torch":
        return TorchEngine(model, model.groups(), job.run.optimizer, device, resources.precision)
    from ecgfm.train.zero import DeepSpeedEngine  # only where it is used: it takes seconds

    given = (model, model.groups(), job.run.optimizer, device, resources.precision)
    return DeepSpeedEngine(*given, stage=resources.stage)


def _device(resources: Resources) -> str:
    there = torch.cuda.is_available()
    if resources.device == "cpu" or (resources.device == "auto" and not there):
        return "cpu"
    if not there:
        raise ValueError(
            f"--resources.device cuda: torch {torch.__version__} finds no GPU on this node; install its CUDA build, or "
            "take cpu"
        )
    torch.backends.cudnn.allow_tf32 = resources.precision != "fp32"  # else convolutions round to 10 bits
    device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    torch.cuda.set_device(device)
    return device


def _first_alone(engine: Engine, make: Callable[[], Feed]) -> Feed:
    """The first process writes what the others then read."""
    if engine.rank:
        engine.agree(0)
    made = make()
    if not engine.rank:
        engine.agree(0)
    return made
