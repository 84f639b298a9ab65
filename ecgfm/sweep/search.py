"""The trials of a sweep on Ray Tune: each a training run in a folder of its own, in one process on Tune's worker.

What Tune is given and what it is not. It starts trials as logical CPUs and GPUs are free, and by asynchronous halving
(ASHA) gives up those that do worse than others did at the same step. It keeps no checkpoints and remembers nothing:
which trials there are follows from what was asked, and how far each has come stands in its own folder. So a sweep that
was killed goes on with the same command, at the last checkpoint of every trial. ASHA is then told again what trials
found before.

Tune hears of a look before its step is saved, so of the last look it is told nothing: a trial that it gave up there
would be complete but for its end.
"""

import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.experiment import Trial as Tuned
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from ecgfm.data import reader, shards
from ecgfm.data.storage import Folder
from ecgfm.negatives.stock import in_process
from ecgfm.run import Cadence, Resources
from ecgfm.sweep.space import Trial
from ecgfm.sweep.study import State, inside, is_finished, looks, saved
from ecgfm.train import claim, feed
from ecgfm.train.job import EXPECTED, Job, Means, Watching, work

log = logging.getLogger(__name__)

HALVING = 3  # of so many trials one goes on
_SETTINGS = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends a sweep as it ends anything else
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # trials keep their own curves
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # why a trial cannot go on is told without figures
    "RAY_AIR_NEW_OUTPUT": "0",  # else Tune draws boxes
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}

Tell = Callable[[str, State, str], None]  # of a trial by its name: how it ended, and why


def check(job: Job, trials: Sequence[Trial]) -> None:
    """Refuses what no trial could be trained on, and folders that hold something else."""
    if (job.resources.workers, job.resources.launcher) != (1, "here"):
        raise ValueError(
            "a trial of a sweep is trained in one process: leave out --resources.workers and --resources.launcher; a "
            "run that needs several goes through jobs/pretrain.py"
        )
    hashes = {shards.manifest(Folder(uri)).corpus: shards.manifest(Folder(uri)).sha256 for uri in job.shards}
    ours = {f"shards of {name}": found for name, found in hashes.items()}
    for trial in trials:
        folder, (run, _) = inside(job.to, trial.name), feed.corpora(trial.run, job.shards)
        if folder.exists("run.json"):
            claim.same_run(folder, run, json.loads(folder.read("run.json"))["inputs"] | ours)


def search(
    job: Job, trials: Sequence[Trial], watching: Watching, asha: bool, given_up: Sequence[str], tell: Tell, gpus: float
) -> None:
    """Train to the last step all trials that are not `given_up` (by name), or those that ASHA leaves."""
    over = {t.name for t in trials if t.name in given_up or is_finished(inside(job.to, t.name), t)}
    if len(over) == len(trials):
        return
    os.environ.update({name: os.environ.get(name, value) for name, value in _SETTINGS.items()})
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)  # it misses Tune's loggers
    if not ray.is_initialized():
        ray.init(logging_level=logging.WARNING, log_to_driver=False)  # lines that do not say whose they are
    device, each = needs(job.resources, gpus, ray.cluster_resources())
    settled = replace(job.settled(), resources=replace(job.resources, device=device))
    jobs = {t.name: replace(settled, run=t.run, to=inside(job.to, t.name).uri) for t in trials}
    asked = [name for name in jobs if asha or name not in over]  # ASHA hears of all
    best = trials[0].run.cadence
    train = tune.with_resources(partial(_trial, jobs=jobs, over=over, watching=watching, folder=os.getcwd()), each)
    with tempfile.TemporaryDirectory() as scratch:  # for what Tune writes down
        tuner = tune.Tuner(
            train,
            param_space={"trial": tune.grid_search(asked)},
            tune_config=tune.TuneConfig(scheduler=scheduler(trials, best) if asha else FIFOScheduler()),
            run_config=tune.RunConfig(name="sweep", storage_path=scratch, verbose=0, callbacks=[_Told(over, tell)]),
        )
        try:
            tuner.fit()
        except SystemExit:  # Ray's answer to `ray job stop`
            raise KeyboardInterrupt from None


def needs(resources: Resources, gpus: float, cluster: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    """The device, and what a trial holds of the cluster. Refused where it is too small: Tune would wait for ever."""
    device = resources.device if resources.device != "auto" else "cuda" if cluster.get("GPU", 0) else "cpu"
    each = {"CPU": resources.trainer_cpus} | ({"GPU": gpus} if device == "cuda" else {})
    for what, amount in each.items():
        if amount > cluster.get(what, 0):
            raise ValueError(
                f"the cluster has {cluster.get(what, 0):g} logical {what}s, and a trial needs {amount:g}: give it "
                "more, or lower --resources.trainer-cpus or --gpus, or train on CPUs with --resources.device cpu"
            )
    return device, each


def scheduler(trials: Sequence[Trial], cadence: Cadence) -> ASHAScheduler:
    """Looks at trials at a ninth and at a third of their steps, and lets one of three go on each time. An earlier look
    would fall into the warm-up."""
    longest = max(trial.run.steps for trial in trials)
    return ASHAScheduler(
        time_attr="step",
        metric="figure",
        mode="min" if cadence.best_is == "lowest" else "max",
        max_t=longest,
        grace_period=max(1, longest // HALVING**2),
        reduction_factor=HALVING,
        stop_last_trials=False,
    )


class _Told(tune.Callback):
    """Passes on how trials go and end."""

    def __init__(self, over: set[str], tell: Tell) -> None:
        self.over, self.tell = over, tell

    def on_trial_result(
        self, iteration: int, trials: list[Tuned], trial: Tuned, result: dict[str, Any], **info: Any
    ) -> None:
        if "step" in result:
            log.info("%s: %.5g at step %d", trial.config["trial"], result["figure"], result["step"])

    def on_trial_complete(self, iteration: int, trials: list[Tuned], trial: Tuned, **info: Any) -> None:
        name, last = trial.config["trial"], trial.last_result or {}
        if "reason" in last:
            self.tell(name, "failed", last["reason"])
        elif name not in self.over:
            self.tell(name, "stopped", f"others did better at step {last.get('step', 0)}")

    def on_trial_error(self, iteration: int, trials: list[Tuned], trial: Tuned, **info: Any) -> None:
        self.tell(trial.config["trial"], "failed", "its process broke or was lost, and the log says more")


def _trial(given: dict[str, str], jobs: Mapping[str, Job], over: set[str], watching: Watching, folder: str) -> None:
    """In each of Tune's workers."""
    job = jobs[given["trial"]]
    logging.getLogger("ecgfm").setLevel(logging.WARNING)
    if Path(folder).is_dir():  # a recipe may name files from where the command was given
        os.chdir(folder)
    torch.set_num_threads(max(1, int(job.resources.trainer_cpus)))
    home, figure, last = Folder(job.to), job.run.cadence.best, job.run.steps

    def report(found: Mapping[str, Any]) -> None:
        if figure not in found:
            names = ", ".join(name for name in found if name != "step")
            raise ValueError(f"no watcher finds {figure!r}; name with --cadence.best one of {names}")
        if found["step"] < last:
            tune.report({"step": found["step"], "figure": found[figure]})

    begins = saved(home)
    for look in looks(home, figure):
        if (look["step"] or 0) <= begins and look[figure] is not None:
            report(look)
    if given["trial"] in over:
        return
    read = partial(reader.read, threads=job.resources.readers)
    try:
        work(job, Means(read, in_process, report, None), watching)
    except EXPECTED as error:
        tune.report({"reason": str(error)})
