"""The loop: restore, open the stream there, step, and sometimes log, evaluate, save.

It knows no Ray, no DeepSpeed and no objective: the engine, the stream and the watchers are given to it.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import nn

from ecgfm.batch import Batch
from ecgfm.data.plan import Position
from ecgfm.data.storage import Folder
from ecgfm.run import Resources, Run
from ecgfm.train import claim, failure
from ecgfm.train.checkpoint import Place, State, load, newest
from ecgfm.train.engine import Engine, NonFiniteError
from ecgfm.train.home import Home
from ecgfm.train.meter import Meter, due
from ecgfm.train.optim import factor
from ecgfm.train.patience import Patience

log = logging.getLogger(__name__)

OpenStream = Callable[[Position, int], Iterator[tuple[Batch, Position]]]  # from a position, so many batches
Watcher = Callable[[int, nn.Module], Mapping[str, float]]
Report = Callable[[dict[str, float]], None]  # told of what watchers find, in every process


class StoppedError(RuntimeError):
    """A step whose figures are not finite."""


class NotWatchedError(ValueError):
    """No watcher finds the figure by which the best checkpoint is chosen."""


@dataclass(frozen=True)
class Origin:
    """Another run's checkpoint to begin from: all of it, or its towers."""

    folder: Folder
    step: int | None = None  # None: the newest
    towers_only: bool = False

    @classmethod
    def parse(cls, text: str, towers_only: bool = False) -> "Origin":
        """A run's folder, or folder@step."""
        uri, _, step = text.rpartition("@")
        if step.isdecimal() and not Folder(text).exists("run.json"):  # runs/dbeta@1 is a folder's name
            return cls(Folder(uri), int(step), towers_only)
        return cls(Folder(text), None, towers_only)

    def __str__(self) -> str:
        step = "" if self.step is None else f"@{self.step}"
        return f"{'towers of ' if self.towers_only else ''}{self.folder}{step}"


def train(
    run: Run,
    engine: Engine,
    open_stream: OpenStream,
    folder: Folder,
    watchers: Mapping[str, Watcher],
    resources: Resources,
    inputs: Mapping[str, str],
    origin: Origin | None = None,
    report: Report = lambda _: None,
    clock: Patience = Patience(None),
) -> Place:
    """Train from wherever the run in `folder` stands to its last step. `inputs` are the hashes of what is read."""
    clock.long()
    with Home(folder, run, resources, inputs, first=engine.rank == 0) as home:
        place = restore(run, engine, folder, origin, inputs)
        if place.step >= run.steps:
            log.info("%s is finished: there is nothing to do", folder)
            return place
        meter = Meter(run, engine.device)
        home.begin(place, str(origin or ""), meter)
        stream = open_stream(place.position, run.steps - place.step)  # only now

        while place.step < run.steps:
            home.check()
            batch, position = meter.next(stream)
            seed, share = run.step_seed(place.step), factor(run.schedule, place.step, run.steps)
            try:
                with meter.counting():
                    loss, terms = engine(batch, seed)
                    figures = engine.step(loss, terms, share)
            except NonFiniteError as error:  # nothing was updated
                clock.long()
                keep(home, engine, place)
                raise stopped(place, failure.explain(engine, batch, seed, run.corpora)) from error
            place = Place(place.step + 1, position)
            meter.step(place.step, {**figures, "rate": share})

            found, best = {}, False
            if watchers and due(place.step, run.cadence.evaluate, run.steps):
                clock.long()
                try:
                    found, took = watch(watchers, place.step, engine.model)
                    check_best(run.cadence.best, found)
                except Exception as error:  # what was learnt is not lost with it
                    if engine.workers == 1 or isinstance(error, NotWatchedError):  # which all processes come to alike
                        keep(home, engine, place)
                    raise
                meter.watched(place.step, {**found, **took})
                report({"step": place.step, **figures, **found})
                best = bool(engine.agree(home.improves(found)))
            if best or due(place.step, run.cadence.save, run.steps):
                clock.long()
                home.save(place, engine.state(), found)
                engine.agree(0)  # the others wait with a long patience for the first, which saves
            if place.step < run.steps:
                clock.short()
    return place


def keep(home: Home, engine: Engine, place: Place) -> None:
    """Save before an error ends all processes: none goes on to its end, and takes the first with it, until it is
    written."""
    home.save(place, engine.state(), {})
    home.written()
    engine.agree(0)


def restore(run: Run, engine: Engine, folder: Folder, origin: Origin | None, inputs: Mapping[str, str]) -> Place:
    """Put the engine where it should begin, in every process alike, and say where that is: 1 its own checkpoint,
    2 another run's, 3 its towers, 4 nothing."""
    own = _latest(engine, folder)
    if own:
        engine.load(own[1])
        log.info("goes on at step %d of %s", own[0].step, folder)
        return own[0]
    if not origin:
        return Place()
    found = load(origin.folder, origin.step) if origin.step is not None else _latest(engine, origin.folder)
    if not found:
        raise FileNotFoundError(f"{origin.folder} holds no checkpoint to begin from")
    place, state = found
    if origin.towers_only:
        state = {"model": {name: t for name, t in state["model"].items() if name.startswith("towers.")}}
    missing = engine.load(state, partly=True)
    if not origin.towers_only:
        place = Place(place.step, place.position if claim.same_data(origin.folder, run, inputs) else Position())
    else:
        place = Place()
    if place.step >= run.steps:
        raise ValueError(
            f"{origin} stands at step {place.step} and this recipe makes {run.steps}: raise --steps, begin at an "
            f"earlier one with --from {origin.folder}@STEP, or take --towers-from {origin.folder}"
        )
    log.info("begins at step %d, batch %d, from %s", place.step, place.position.batch, origin)
    if missing:
        log.info("%d tensors are new and begin untrained, among them %s", len(missing), missing[0])
    return place


def _latest(engine: Engine, folder: Folder) -> tuple[Place, State] | None:
    """The newest whole checkpoint, as the first process finds it."""
    found = newest(folder) if engine.rank == 0 else None
    step = engine.agree(found[0].step if found else -1)
    for damage in found[2] if found else []:
        log.warning("%s; the one before it is used", damage)
    if step < 0:
        return None
    return found[:2] if found else load(folder, step)


def watch(watchers: Mapping[str, Watcher], step: int, model: nn.Module) -> tuple[dict[str, float], dict[str, float]]:
    """The watchers' figures, and the seconds that each took. All processes take part, as a loss may gather."""
    model.eval()
    found, took = {}, {}
    with torch.no_grad():
        for name, see in watchers.items():
            begun = time.perf_counter()
            found |= {f"{name}/{key}": value for key, value in see(step, model).items()}
            took[f"time/watch/{name}"] = time.perf_counter() - begun
    model.train()
    return found, took


def check_best(best: str, known: Collection[str]) -> None:
    """Whether the figure by which the best checkpoint is chosen is among those that are watched."""
    if best not in known:
        near = get_close_matches(best, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
        raise NotWatchedError(f"--cadence.best: no watcher finds {best!r}; {hint}")


def held_out(engine: Engine, batches: Callable[[], Iterable[tuple[Batch, Position]]]) -> Watcher:
    """The mean loss and terms over batches that are not learnt from, masked alike every time."""

    def see(step: int, model: nn.Module) -> dict[str, float]:
        sums: dict[str, float] = {}
        count = 0
        for count, (batch, _) in enumerate(batches(), 1):  # noqa: B007
            loss, terms = engine(batch, 0)
            means = engine.mean(torch.stack([loss, *terms.values()])).tolist()
            for name, value in zip(("loss", *terms), means, strict=True):
                sums[name] = sums.get(name, 0.0) + value
        return {name: total / count for name, total in sums.items()}

    return see


def stopped(place: Place, reason: str) -> StoppedError:
    return StoppedError(
        f"step {place.step}, world batch {place.position.batch}: not finite: {reason}. The step was not made, and the "
        f"state before it is saved. The same command stops here again: branch from checkpoint {place.step} with --from "
        "and another recipe, or refuse the records"
    )
