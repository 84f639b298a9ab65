"""Train a recipe many times, with other values for some of its fields, on Ray Tune:

    python jobs/sweep.py fingerprint_small --over objectives.fingerprint.pool.count=1,4,16 --seeds 3 --shards … --to …
    python jobs/sweep.py fingerprint_small --over objectives.fingerprint.pool.count=1,2,4,8 \\
        --over objectives.fingerprint.terms.tcr=0,0.02,0.2 --show geometry/fingerprint/cka --shards … \\
        --to sweeps/k-tcr --watch ptb-xl/super --cadence.best ptb-xl/super/probe --cadence.best-is highest
    python jobs/sweep.py dbeta_small --over optimizer.rates.ecg=1e-5..1e-3 --trials 32 --search asha --shards … --to …

Every combination of the values, or --trials that are drawn; with --search asha weak ones are given up early. Each trial
is a run of its own in <to>/<its values>@1, and the sum is <to>/sweep.md, sweep.json and sweep.png, renewed whenever a
trial ends. Compared is --cadence.best, any figure that a watcher finds; the held-out loss compares nothing where trials
differ in the weights of its terms or in what is hidden. Killed and started again with the same command, it goes on;
what is finished is not repeated, and more values or seeds can be asked for. What was given up stays so under asha.

Ends with 0: every trial is finished or was given up; 1: cannot begin, and says why; 2: wrong words; 3: trials failed,
sweep.md says why, and the same command tries these again; 130: stopped by hand.
"""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Literal

import tyro

from ecgfm import recipes
from ecgfm.data.storage import Folder, lasting
from ecgfm.evaluate.watch import watchers
from ecgfm.run import Resources
from ecgfm.sweep import space, study
from ecgfm.sweep.search import check, search
from ecgfm.sweep.space import Axis, Trial
from ecgfm.sweep.study import Outcome, State
from ecgfm.train.job import EXPECTED, Job
from ecgfm.train.lock import sole_writer

log = logging.getLogger("ecgfm")


@dataclass(frozen=True)
class Asked(Job):
    over: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A field of the recipe by its dotted name, and its values: path=value,value, or a range: path=low..high."""
    seeds: int = 1
    """Of every setting, from the recipe's own on."""
    search: Literal["full", "asha"] = "full"
    """full: every trial to its last step. asha: at a ninth and at a third of the steps one of three goes on."""
    trials: int | None = None
    """Settings to draw; without it, every combination."""
    show: tuple[str, ...] = ()
    """Further figures for the table and the picture."""
    gpus: float = 1.0
    """Of each trial, where there are GPUs: with 0.25 four share one."""
    watch: tuple[str, ...] = ()
    """Tasks on which the towers are examined now and then (jobs/evaluate.py): corpus/set, or a parquet of labels."""
    watch_shards: tuple[str, ...] = ()
    """The shard folders of those tasks; without any, those of --shards."""


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    names = [*takewhile(lambda word: not word.startswith("-"), given)]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    try:
        recipe = recipes.find(names)
    except (ValueError, ModuleNotFoundError) as error:
        log.error("%s", error)
        return 2
    resources = Resources(launcher="here", engine="torch", trainer_cpus=1.0)
    asked = Asked(recipe, tyro.MISSING, tyro.MISSING, resources=resources)
    config = (tyro.conf.AvoidSubcommands,)
    job = tyro.cli(Asked, default=asked, args=given[len(names) :], description=__doc__, config=config)
    try:
        over = space.axes(job.run, job.over)
        trials = space.trials(job.run, over, job.seeds, job.trials)
        if job.search == "asha" and (why := space.unlike(over, job.run.cadence.best)):
            raise ValueError(f"--search asha gives trials up by a figure that compares them: {why}")
    except ValueError as error:
        log.error("%s", error)
        return 2
    try:
        outcomes = _sweep(job, over, trials)
    except KeyboardInterrupt:
        log.info("stopped; the same command goes on from the last checkpoints")
        return 130
    except EXPECTED as error:
        log.error("%s", error)
        return 1
    return 0 if all(o.state in ("finished", "stopped") for o in outcomes) else 3


def _sweep(asked: Asked, over: Sequence[Axis], trials: Sequence[Trial]) -> list[Outcome]:
    job = Job(asked.run, asked.shards, asked.to, asked.origin, asked.towers_from, asked.resources)
    watching = partial(watchers, [Folder(uri).uri for uri in asked.watch_shards or asked.shards], asked.watch)
    folder, asha = lasting(asked.to), asked.search == "asha"

    def renewed() -> list[Outcome]:
        outcomes = [study.outcome(folder.uri, trial, ended) for trial in trials]
        study.write(folder, over, outcomes, asked.show)
        return outcomes

    def tell(name: str, state: State, reason: str) -> None:
        ended[name] = state, reason
        mine = next(o for o in renewed() if o.trial.name == name)
        log.info("%s: %s after step %d%s", name, mine.state, mine.step, mine.reason and f": {mine.reason}")

    with sole_writer(folder):
        check(job, trials)
        ended = study.stopped(folder) if asha else {}
        search(job, trials, watching, asha, [*ended], tell, asked.gpus)
        outcomes = renewed()
    log.info("%s", folder.read("sweep.md").decode())
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
