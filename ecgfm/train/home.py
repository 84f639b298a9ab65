"""The folder of a run, `name@version`, as the run itself uses it.

run.json              recipe, hashes of what is read, and how each launch was made
metrics.jsonl         the curve; tensorboard/ shows the same
checkpoints/          what a restart needs
tokens-….safetensors  the words of all reports, and in vectors/ their vectors by words (ecgfm.train.feed)
lock                  who is writing (lease.json in an object store)
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console

from ecgfm.data.storage import Folder, StoreError
from ecgfm.run import Resources, Run, describe
from ecgfm.train import claim
from ecgfm.train.checkpoint import Checkpoints, Place, State
from ecgfm.train.journal import Board, Journal, Tracker
from ecgfm.train.lock import sole_writer
from ecgfm.train.meter import Line, Meter

log = logging.getLogger(__name__)


class Home:
    """All that is written there. Of a run's processes only the first writes; in the others nothing happens here."""

    def __init__(
        self, folder: Folder, run: Run, resources: Resources, inputs: Mapping[str, str], first: bool = True
    ) -> None:
        self.folder, self.run, self.resources, self.inputs, self.first = folder, run, resources, inputs, first
        self._stack = ExitStack()
        self._checkpoints: Checkpoints | None = None
        self._still_ours: Callable[[], None] = lambda: None
        self._flush: Callable[[], None] = lambda: None

    def __enter__(self) -> "Home":
        if self.first:
            with self._stack:  # undone when something in here fails
                self._still_ours = self._stack.enter_context(sole_writer(self.folder))
                claim.same_run(self.folder, self.run, self.inputs)
                self._checkpoints = Checkpoints(self.folder, self.run.cadence)
                self._stack.callback(self._checkpoints.close)
                self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def begin(self, place: Place, origin: str, meter: Meter) -> None:
        """From here on the curve goes on: what an earlier launch wrote after this place is cut off."""
        if not self._checkpoints:
            return
        self._checkpoints.rewind(place.step)
        claim.record(self.folder, self.run, self.inputs, self.resources, place.step, origin)
        meter.files = [Journal(self.folder, place.step), Board(self.folder, place.step)]
        if project := self.run.cadence.wandb:
            tracker = Tracker(self.folder, project, describe(self.run))
            meter.files.append(tracker)
            self._stack.callback(tracker.close)
        meter.line = Line(self.run.steps, self._checkpoints, Console())
        self._flush = meter.flush
        self._stack.callback(meter.flush)
        self._stack.callback(meter.line.stop)

    def check(self) -> None:
        """Raises when the last checkpoint could not be written, or the folder is another's by now."""
        if self._checkpoints:
            self._still_ours()
            self._checkpoints.check()

    def written(self) -> None:
        """Waits until the last checkpoint is whole."""
        if self._checkpoints:
            self._checkpoints.wait()

    def improves(self, figures: Mapping[str, float]) -> bool:
        return self._checkpoints is not None and self._checkpoints.improves(figures)

    def save(self, place: Place, state: State, figures: Mapping[str, float]) -> None:
        """The curve first: a checkpoint's rows are there whenever it is, unless the store was away in that moment."""
        if not self._checkpoints:
            return
        try:
            self._flush()
        except StoreError as error:
            if place.step == self.run.steps:  # nothing comes after it that would write them
                raise
            log.warning("the curve is written at the next checkpoint: %s", error)
        self._checkpoints.save(place, state, figures)
