"""What a run's figures are kept in: metrics.jsonl, TensorBoard's files beside it, and W&B for who asks for it.

A row holds the figures of one step. Names that begin with "time/" depend on the machine; all others are the curve,
which a run that was stopped and started again repeats.
"""

import hashlib
import json
import logging
import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from ecgfm.data.storage import Folder, StoreError

METRICS = "metrics.jsonl"
_REWRITE = 30.0  # seconds between writes where nothing can be appended to

Row = Mapping[str, int | float]

log = logging.getLogger(__name__)


def rows(folder: Folder) -> list[dict[str, int | float | None]]:
    """A run's metrics, without the last line where a kill tore it. None stands for a figure that was not finite."""
    lines = folder.read(METRICS).splitlines() if folder.exists(METRICS) else []
    whole = lines[:-1] if lines and not lines[-1].endswith(b"}") else lines
    return [json.loads(line) for line in whole]


class Journal:
    """metrics.jsonl. Rows after `step` are of work that was lost and will be done again: they are cut off."""

    def __init__(self, folder: Folder, step: int) -> None:
        self.folder = folder
        self._lines = [json.dumps(row) + "\n" for row in rows(folder) if (row["step"] or 0) <= step]
        self._rewrite()

    def append(self, row: Row) -> None:
        line = json.dumps({name: value if math.isfinite(value) else None for name, value in row.items()}) + "\n"
        if self.folder.is_local:
            with open(self.folder.path(METRICS), "a") as file:
                file.write(line)
            return
        self._lines.append(line)
        if time.monotonic() - self._written > _REWRITE:
            try:
                self._rewrite()
            except StoreError as error:
                self._written = time.monotonic()
                log.warning("the curve is written %g s later: %s", _REWRITE, error)

    def flush(self) -> None:
        if not self.folder.is_local:
            self._rewrite()

    def _rewrite(self) -> None:
        self.folder.write(METRICS, "".join(self._lines).encode())
        self._written = time.monotonic()


class Board:
    """TensorBoard's files. It writes to disks only: for an object store they are copied there by `flush`."""

    def __init__(self, folder: Folder, step: int) -> None:
        self.folder = folder
        self.place = Path(folder.path("tensorboard") if folder.is_local else tempfile.mkdtemp())
        self.writer = SummaryWriter(str(self.place), purge_step=step + 1)

    def append(self, row: Row) -> None:
        for name, value in row.items():
            if name != "step":
                self.writer.add_scalar(name, value, int(row["step"]))

    def flush(self) -> None:
        self.writer.flush()
        if not self.folder.is_local:
            for file in self.place.iterdir():
                self.folder.write(f"tensorboard/{file.name}", file.read_bytes())


class Tracker:
    """Weights & Biases: the figures and the recipe; nothing of the machine, the code or the command. Where its server
    cannot be reached, WANDB_MODE=offline keeps them in the run's folder. Steps made again after a kill are told again.
    """

    def __init__(self, folder: Folder, project: str, recipe: Mapping[str, Any]) -> None:
        try:
            import wandb
            from wandb.errors import Error
        except ImportError:
            raise ValueError(f"--cadence.wandb {project}: the package is not there: pip install wandb") from None
        quiet = {"console": "off", "disable_git": True, "disable_code": True, "silent": True}
        try:
            self.run = wandb.init(
                project=project,
                name=folder.name,
                id=hashlib.sha256(folder.uri.encode()).hexdigest()[:16],  # a run that goes on is the same one there
                resume="allow",
                config=dict(recipe),
                dir=folder.path("") if folder.is_local else tempfile.mkdtemp(),
                settings=wandb.Settings(**quiet, host="", x_disable_meta=True, x_disable_stats=True),
            )
        except Error as error:
            raise ValueError(
                f"--cadence.wandb {project}: {error}; `wandb login`, WANDB_API_KEY or WANDB_MODE=offline"
            ) from error
        self.run.define_metric("*", step_metric="step")

    def append(self, row: Row) -> None:
        self.run.log(dict(row))

    def flush(self) -> None:
        """It sends by itself."""

    def close(self) -> None:
        self.run.finish()
