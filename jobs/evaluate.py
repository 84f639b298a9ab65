"""Examine a run, or towers that were exported, on the test subjects of shards:

    python jobs/evaluate.py --run runs/dbeta@1 --shards /data/shards/ptb-xl --tasks ptb-xl/super ptb-xl/rhythm
    python jobs/evaluate.py --run runs/dbeta@1 --shards demo/shards --tasks demo/corpus/factors.parquet

Writes scorecard.json, scorecard.md and the spectra of embeddings into the run's folder. Exit codes: 0 done, 1 it cannot
be done, 2 wrong words, 3 done, and a control that must fail did not.
"""

import io
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tyro

from ecgfm.charts import spectra
from ecgfm.data.storage import Folder, StoreError, lasting
from ecgfm.embedder import load
from ecgfm.evaluate import controls, metrics, scorecard, tasks
from ecgfm.evaluate.embed import Vectors
from ecgfm.evaluate.examine import examine
from ecgfm.evaluate.marks import marks
from ecgfm.evaluate.shape import shape, spectrum
from ecgfm.evaluate.tasks import Examined
from ecgfm.train.checkpoint import CheckpointError
from ecgfm.train.export import export

log = logging.getLogger("ecgfm")


@dataclass(frozen=True)
class Job:
    run: str
    """A run's folder, or one that towers were exported to: a path or an object-store URI."""
    shards: tuple[str, ...]
    """Shard folders with train, valid and test records: paths or object-store URIs."""
    tasks: tuple[str, ...] = ()
    """corpus/set, a corpus for all its label sets, or a parquet table of labels: a column path, and one per label.
    Without any: all label sets of all shards."""
    step: int | None = None
    """The run's checkpoint; without it the newest."""
    to: str | None = None
    """Where the scorecard goes; without it into the run's folder."""
    untrained: int = 3
    """Untrained towers to examine beside the model, each from another seed."""
    shuffled: tuple[str, ...] = ()
    """Runs like this one, trained on shards of tools/shuffle_reports.py."""
    least: int = 10
    """Test records that must have a label, and that must have it not, for it to be scored."""
    draws: int = metrics.DRAWS
    """Of subjects, for intervals."""
    device: str = "auto"


def main(arguments: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    job = tyro.cli(Job, args=arguments, description=__doc__)
    try:
        cards = _evaluate(job)
    except (FileNotFoundError, CheckpointError, StoreError, ValueError) as error:
        log.error("%s", error)
        return 1
    for what in scorecard.failed(cards):
        log.warning("does not fail as it must: %s", what)
    return 3 if scorecard.failed(cards) else 0


def _evaluate(job: Job) -> list[dict]:
    folder = lasting(job.to or job.run)
    asked = tasks.find(job.shards, job.tasks, job.least)
    for run in (job.run, *job.shuffled):
        _exported(Folder(run), job.step if run == job.run else None)
    model = Vectors(load(job.run, job.device))
    failing = {
        "untrained towers": [
            Vectors(controls.untrained(Folder(job.run), seed, job.device)) for seed in range(job.untrained)
        ],
        "shuffled reports": [Vectors(load(run, job.device)) for run in job.shuffled],
    }
    cards = []
    for examined in map(tasks.read, asked):
        cards.append(_card(examined, model, failing, job.draws))
        _draw(folder, examined, {"model": model} | {name: some[0] for name, some in failing.items() if some})
    scorecard.write(folder, f"Scorecard of {Folder(job.run)} at step {model.embedder.card.step}", cards)
    log.info("%s holds scorecard.md", folder)
    return cards


def _exported(folder: Folder, step: int | None) -> None:
    """A run's folder is exported from its checkpoints first; a folder of towers is taken as it is."""
    if folder.exists("run.json"):
        log.info("%s: towers of step %d", folder, export(lasting(folder.uri), step))


def _card(examined: Examined, model: Vectors, failing: Mapping[str, Sequence[Vectors]], draws: int) -> dict:
    weights = metrics.resample(examined.splits["test"].subject, draws)
    log.info("%s: %d labels, %s records", examined.task.name, len(examined.names), len(examined.splits["test"]))
    found = {name: [examine(one, examined, weights) for one in some] for name, some in failing.items() if some}
    looked_at = {"model": model} | {name: some[0] for name, some in failing.items() if some}
    geometry = {name: shape(one, examined) for name, one in looked_at.items()}
    return scorecard.card(examined, marks(examined, weights), [examine(model, examined, weights)], found, geometry)


def _draw(folder: Folder, examined: Examined, looked_at: Mapping[str, Vectors]) -> None:
    picture, drawing = spectra({name: spectrum(one, examined) for name, one in looked_at.items()}), io.BytesIO()
    picture.savefig(drawing, format="png", dpi=120)
    folder.write(f"spectrum-{examined.task.name.replace('/', '-')}.png", drawing.getvalue())


if __name__ == "__main__":
    sys.exit(main())
