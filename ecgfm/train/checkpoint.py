"""Checkpoints: written while training goes on, whole or not at all, and read by anyone.

    checkpoints/00002000/model.safetensors       what learns, by name
                         optimizer.safetensors   its moments, by name
                         manifest.json           place, figures, and the hashes of the other two and of itself

The manifest is written last, so a checkpoint without one was never finished, and one whose hashes disagree is damaged.
There is no pointer to the latest, which could be torn itself: the latest is the last whole one in the list, and so no
folder is ever renamed, which an object store could not do in one piece.
"""

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from safetensors.torch import load as parse
from torch import Tensor

from ecgfm.data.plan import Position
from ecgfm.data.storage import Folder
from ecgfm.run import Cadence
from ecgfm.train.snapshot import Snapshot

FORMAT = "ecgfm-checkpoint-1"
_MANIFEST = "manifest.json"

State = Mapping[str, Mapping[str, Tensor]]  # file -> name -> tensor


class DamagedError(ValueError):
    """A checkpoint that is not what was written."""


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written, or none that can be read."""


@dataclass(frozen=True)
class Place:
    """Where a run stands: how many updates it has made, and which world batch comes next."""

    step: int = 0
    position: Position = field(default_factory=Position)


def steps(folder: Folder) -> list[int]:
    """The finished checkpoints of a run, oldest first."""
    return sorted(_begun(folder, f"/{_MANIFEST}"))


def _begun(folder: Folder, suffix: str = "") -> set[int]:
    parts = {name.split("/")[1] for name in folder.names("checkpoints", suffix)}
    return {int(part) for part in parts if part.isdecimal()}


def load(folder: Folder, step: int) -> tuple[Place, State]:
    """A checkpoint, every byte of it compared with its hash."""
    if step not in (there := steps(folder)):
        raise CheckpointError(f"{folder} has no checkpoint {step}: it has {', '.join(map(str, there)) or 'none'}")
    manifest = read_manifest(folder, step)
    state = {}
    for name, written in manifest["files"].items():
        content = _read(folder, step, name)
        if len(content) != written["bytes"]:
            raise _damaged(folder, step, f"{name} has {len(content):,} bytes where {written['bytes']:,} were written")
        if hashlib.sha256(content).hexdigest() != written["sha256"]:
            raise _damaged(folder, step, f"{name} is not what was written (its sha256 differs)")
        state[name.removesuffix(".safetensors")] = parse(content)
    return Place(manifest["step"], Position(**manifest["position"])), state


def newest(folder: Folder) -> tuple[Place, State, list[str]] | None:
    """The latest checkpoint that is whole, and a word about each damaged one after it; None where there is none."""
    damage = []
    for step in reversed(steps(folder)):
        try:
            return *load(folder, step), damage
        except DamagedError as error:
            damage.append(str(error))
    if damage:
        raise CheckpointError("no checkpoint is whole: " + "; ".join(damage) + "; start under another name")
    return None


def read_manifest(folder: Folder, step: int) -> dict[str, Any]:
    try:
        manifest = json.loads(_read(folder, step, _MANIFEST))
        sha256 = manifest.pop("sha256")
    except (ValueError, KeyError, AttributeError):
        raise _damaged(folder, step, f"{_MANIFEST} cannot be read") from None
    if sha256 != _hash(manifest):
        raise _damaged(folder, step, f"{_MANIFEST} is not what was written (its sha256 differs)")
    if manifest["format"] != FORMAT:
        raise CheckpointError(f"checkpoint {step} of {folder} is {manifest['format']}; this version reads {FORMAT}")
    return manifest


def _hash(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _read(folder: Folder, step: int, name: str) -> bytes:
    try:
        return folder.read(f"{_at(step)}/{name}")
    except FileNotFoundError:
        raise _damaged(folder, step, f"{name} is missing") from None


def _at(step: int) -> str:
    return f"checkpoints/{step:08d}"


def _damaged(folder: Folder, step: int, what: str) -> DamagedError:
    return DamagedError(f"checkpoint {step} of {folder} is damaged: {what}")


class Checkpoints:
    """Writes a run's checkpoints, and decides which of them stay."""

    def __init__(self, folder: Folder, cadence: Cadence) -> None:
        self.folder, self.cadence = folder, cadence
        self._snapshots: dict[str, Snapshot] = {}
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        self._sweep()
        self._figures: dict[int, float | None] = {}
        self.saved: float | None = None  # when the last one was made
        for step, manifest in self._known():
            self._figures[step], self.saved = manifest["figures"].get(cadence.best), manifest["time"]

    def save(self, place: Place, state: State, figures: Mapping[str, float]) -> None:
        """Take a snapshot now and write it while the caller goes on. Waits for the one before, if that is not done."""
        self.wait()
        if place.step in self._figures:
            return
        for name, tensors in state.items():
            if name not in self._snapshots:
                self._snapshots[name] = Snapshot(tensors)
            self._snapshots[name].take(tensors)
        finite = {name: value for name, value in figures.items() if math.isfinite(value)}
        self._pending = self._writer.submit(self._write, place, finite, time.time())

    def rewind(self, step: int) -> None:
        """Training goes on from here: later ones are damaged, or it would have gone on from them."""
        for later in _begun(self.folder):
            if later > step:
                self._erase(later)
                self._figures.pop(later, None)

    def check(self) -> None:
        """Raises what went wrong with the last one, once."""
        if self._pending and self._pending.done():
            self.wait()

    def wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending:
            pending.result()

    def close(self) -> None:
        self._writer.shutdown()
        self.wait()

    def improves(self, figures: Mapping[str, float]) -> bool:
        """Whether these are better than those of every checkpoint so far."""
        self.wait()
        figure = figures[self.cadence.best]
        return math.isfinite(figure) and self._best({**self._figures, -1: figure}) == -1

    def _write(self, place: Place, figures: Mapping[str, float], taken: float) -> None:
        try:
            self._erase(place.step)  # a damaged one of the same step may be there
            files = {}
            for name, snapshot in self._snapshots.items():
                content = snapshot.file()
                self.folder.write(f"{_at(place.step)}/{name}.safetensors", content)
                sha256 = hashlib.sha256(content).hexdigest()
                files[f"{name}.safetensors"] = {"bytes": content.size, "sha256": sha256}
            manifest = {"format": FORMAT, "time": taken, **asdict(place), "figures": figures, "files": files}
            sealed = json.dumps(manifest | {"sha256": _hash(manifest)}, indent=1)
            self.folder.write(f"{_at(place.step)}/{_MANIFEST}", sealed.encode())
        except OSError as error:
            with suppress(OSError):
                self._erase(place.step)
            before = f"checkpoint {max(self._figures)} is whole" if self._figures else "there is none before it"
            raise CheckpointError(
                f"checkpoint {place.step} cannot be written to {self.folder}: {error.strerror or error}; "
                f"{before}. Mend that and give the same command again"
            ) from error
        self._figures[place.step] = figures.get(self.cadence.best)
        self.saved = taken
        self._prune()

    def _prune(self) -> None:
        cadence, known = self.cadence, sorted(self._figures)
        stay = {*known[-cadence.keep_last :], self._best(self._figures)}
        stay |= {step for step in known if cadence.keep_every and step % cadence.keep_every == 0}
        for step in set(known) - stay:
            self._erase(step)
            del self._figures[step]

    def _best(self, figures: Mapping[int, float | None]) -> int | None:
        measured = {step: value for step, value in figures.items() if value is not None}
        choose = min if self.cadence.best_is == "lowest" else max
        return choose(measured, key=measured.__getitem__, default=None)

    def _known(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for step in steps(self.folder):
            with suppress(DamagedError):
                yield step, read_manifest(self.folder, step)

    def _erase(self, step: int) -> None:
        """The manifest first, so that what is left is never taken for a checkpoint."""
        if self.folder.exists(f"{_at(step)}/{_MANIFEST}"):
            self.folder.delete(f"{_at(step)}/{_MANIFEST}")
        if self.folder.exists(_at(step)):
            self.folder.remove(_at(step))

    def _sweep(self) -> None:
        """What a start before this one left unfinished."""
        for step in _begun(self.folder) - set(steps(self.folder)):
            self._erase(step)
