"""What records of claims have in common: corpora, and arms that are trained and examined once.

An arm is a recipe. Arms are trained with several seeds as trials of a sweep are (ecgfm/sweep/search.py), as many at
once as the machine has room for, each in one process and in a folder of its own, and what was found stands there in
found.json. Killed and started again, all of it goes on where it was.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import ray
from supervised import taught
from torch import nn
from transformers import AutoTokenizer

from ecgfm.data import shards
from ecgfm.data.storage import Folder
from ecgfm.embedder import Embedder
from ecgfm.evaluate import metrics
from ecgfm.evaluate.embed import Vectors
from ecgfm.evaluate.examine import Found as Examination
from ecgfm.evaluate.examine import examine
from ecgfm.evaluate.marks import marks
from ecgfm.evaluate.tasks import Examined, Task
from ecgfm.model import local_t5
from ecgfm.model.pool import Project
from ecgfm.model.saved import Card, Saved
from ecgfm.run import Resources, Run, describe, differences, override
from ecgfm.sweep.search import search
from ecgfm.sweep.space import Trial
from ecgfm.sweep.study import State
from ecgfm.train.checkpoint import newest
from ecgfm.train.engine import TorchEngine
from ecgfm.train.job import Job
from ecgfm.train.pretraining import Pretraining

# A run's figures by name: the value, and after it what it would be with other subjects, where that is known.
Found = dict[str, list[float]]
DRAWS = 200  # of subjects
_FOUND = "found.json"
Examine = Callable[[Run, Pretraining], Found]


@dataclass(frozen=True)
class Setting:
    """Of what size, and where."""

    to: str
    """The record, name@version: a folder."""
    work: str = "runs/claims"
    """Corpora and runs."""
    records: int = 12_000
    """Of each corpus."""
    steps: int = 3000
    batch: int = 64
    seeds: int = 3
    arms: tuple[str, ...] = ()
    """Only these, while trying; without any, all."""
    recipe: Literal["small", "tiny"] = "small"
    heads: int = 2
    """The dial of the towers, and of the text encoder."""
    rate: float = 1.5e-3
    """Highest learning rate, of all arms."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


def corpus(setting: Setting, shape: str, records: int, seed: int = 0, pulse: bool = False) -> tuple[str, str]:
    """A synthetic corpus of a shape: its shards, and the table of its truths. Those of one seed are of one people."""
    made = Path(setting.work) / f"{shape}-{records}-{seed}{'-pulse' if pulse else ''}"
    if not (made / "corpus" / "factors.parquet").exists():
        size = ("--records", str(records), "--seed", str(seed), *(("--pulse",) if pulse else ()))
        _run("-m", "ecgfm.data.synthetic", "--to", str(made / "corpus"), "--shape", shape, *size)
    if not (made / "shards" / "manifest.json").exists():
        ours = ("--source", str(made / "corpus"), "--to", str(made / "shards"), "--refused", "0.1")
        _run("jobs/shard.py", shape, *ours)
    return str(made / "shards"), str(made / "corpus" / "factors.parquet")


def _run(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True)


def with_text(run: Run, setting: Setting, where: str) -> Run:
    """With a text model whose words are those of the corpus's reports, as no hub is asked; and no longer reports than
    it has, by which operations are counted.
    """
    folder = Path(setting.work) / f"text-{setting.heads}"
    reports = shards.table(Folder(where), "reports.parquet", ["text"])["text"].to_pylist()
    if not (folder / "config.json").exists():
        local_t5.make(reports, folder, heads=setting.heads)
    longest = max(map(len, AutoTokenizer.from_pretrained(folder)(reports)["input_ids"]))
    return override(run, {"towers.text.name": str(folder), "words": longest})


def train_all(
    arms: Mapping[str, Run],
    setting: Setting,
    where: str,
    examine: Examine,
    steps: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, list[Found]]:
    """Every arm with every seed; one that was examined before is read. An arm of which a run failed is left out.

    `steps` are those of arms that make others than the rest.
    """
    chosen = {name: run for name, run in arms.items() if not setting.arms or name in setting.arms}
    found: dict[str, list[Found]] = {name: [] for name in chosen}
    for seed in range(setting.seeds):
        runs = {n: sized(arm, replace(setting, steps=steps.get(n, setting.steps)), seed) for n, arm in chosen.items()}
        lacking = [name for name, run in runs.items() if _known(home_of(setting, name, seed), run, where) is None]
        trials = {name: Trial(_called(name, seed), {}, runs[name]) for name in lacking}
        failed = train([*trials.values()], setting, where)
        trained = {name: trial for name, trial in trials.items() if trial.name not in failed}
        _examine_all(trained, setting, where, examine)
        for name, run in runs.items():
            if known := _known(home_of(setting, name, seed), run, where):
                found[name].append(known)
    return {name: some for name, some in found.items() if len(some) == setting.seeds}


def train(trials: Sequence[Trial], setting: Setting, where: str) -> set[str]:
    """Those that failed, which is also said: the same command tries them again."""
    if not trials:
        return set()
    resources, failed = Resources(launcher="here", engine="torch", device=setting.device, trainer_cpus=1.0), set()

    def tell(name: str, state: State, reason: str) -> None:
        if state == "failed":
            failed.add(name)
            print(f"{name} is left out: {reason}", file=sys.stderr, flush=True)

    search(Job(trials[0].run, (where,), _place(setting), resources=resources), trials, _nobody, False, (), tell, 1.0)
    return failed


def _nobody(run: Run, engine: object) -> dict:
    """Watches: only what every run looks at by itself."""
    return {}


def _examine_all(trials: Mapping[str, Trial], setting: Setting, where: str, examine: Examine) -> None:
    """As many at once as there are cores."""

    @ray.remote(num_cpus=1)
    def look(run: Run, home: str, stands: str) -> None:
        os.chdir(stands)
        found = {**examine(run, restored(run, Folder(home))), "minutes": [minutes(Folder(home))]}
        Folder(home).write(_FOUND, json.dumps({**_of(run, where), "found": found}).encode())

    homes = {name: f"{_place(setting)}/{trial.name}" for name, trial in trials.items()}
    ray.get([look.remote(trial.run, homes[name], os.getcwd()) for name, trial in trials.items()])


def minutes(home: Folder) -> float:
    """Of a run's steps, on a core."""
    lines = map(json.loads, home.read("metrics.jsonl").decode().splitlines())
    steps = [(line["step"], line["time/step"]) for line in lines if "time/step" in line]
    spans = np.diff([0, *(step for step, _ in steps)])
    return float(spans @ np.array([seconds for _, seconds in steps]) / 60)


def _known(home: Folder, run: Run, where: str) -> Found | None:
    """What was found of this run before; refused where the folder's figures are of another one."""
    if not home.exists(_FOUND):
        return None
    held, ours = json.loads(home.read(_FOUND)), _of(run, where)
    if differing := differences({name: held[name] for name in ours}, ours):
        raise ValueError(f"{home} holds the figures of another run ({'; '.join(differing)}): remove it, or rename --to")
    return held["found"]


def _of(run: Run, where: str) -> dict:
    recipe = json.loads(json.dumps(describe(run)))  # as it will be read
    return {"recipe": recipe, "shards": shards.manifest(Folder(where)).sha256}


def sized(run: Run, setting: Setting, seed: int) -> Run:
    """Of the claim's size; looked at when it is done, and saved a few times on the way."""
    changes = {
        "towers.heads": setting.heads,
        "optimizer.rates": dict.fromkeys(run.optimizer.rates, setting.rate),
        "cadence.log": 10,
        "cadence.save": max(1, setting.steps // 5),
        "cadence.evaluate": setting.steps,
    }
    return replace(override(run.shrink(run.towers, setting.batch, setting.steps), changes), seed=seed)


def all_sized(arms: Mapping[str, Run], setting: Setting) -> dict[str, Run]:
    """As its first seed trains each."""
    return {name: sized(run, setting, 0) for name, run in arms.items()}


def home_of(setting: Setting, arm: str, seed: int) -> Folder:
    return Folder(f"{_place(setting)}/{_called(arm, seed)}")


def _place(setting: Setting) -> str:
    return f"{setting.work}/{Path(setting.to).name}"


def _called(arm: str, seed: int) -> str:
    return f"{plain(arm)}-{seed}"


def restored(run: Run, home: Folder) -> Pretraining:
    """The model as its newest checkpoint holds it."""
    held = newest(home)
    if held is None:
        raise FileNotFoundError(f"{home} holds no checkpoint")
    model = Pretraining.of(run)
    TorchEngine(model, model.groups(), run.optimizer).load(held[1])
    return model.eval()


def landmarks(
    examined: Examined, lessons: Task, base: Run, setting: Setting, named: Callable[[str], str]
) -> dict[str, list[Found]]:
    """What a claim stands between: floor, ruler and ceiling, and the same towers taught by the labels of `lessons`.

    `named` says what the claim calls the AUC of "probe 100 %", "probe 10 %" and "probe 1 %".
    """
    weights = metrics.resample(examined.splits["test"].subject, DRAWS)
    found: dict[str, list[Found]] = {
        mark: [{named("probe 100 %"): metrics.macro(areas).tolist()}]
        for mark, areas in marks(examined, weights).items()
    }

    def probed(run: Run, model: Pretraining) -> Found:
        return areas(examine(Vectors(embedder(run, model)), examined, weights), named)

    return found | train_all({"supervised, all labels": taught(base, lessons)}, setting, lessons.shards, probed)


def areas(ways: Examination, named: Callable[[str], str]) -> Found:
    """The AUC by each way, a mean over findings and seeds of the probe, under the name that the claim gives it."""
    return {named(way): np.mean([metrics.macro(a) for a in by["auc"]], axis=0).tolist() for way, by in ways.items()}


def of_labels(way: str) -> str:
    return f"AUC with {way.removeprefix('probe ')} of labels"


def embedder(run: Run, model: Pretraining) -> Embedder:
    tokenizer = AutoTokenizer.from_pretrained(run.towers.text.name) if model.towers.text is not None else None
    return Embedder(
        Saved(
            Card(model.towers.config, run.frame, run.embed, run.aligned, run.words, "", run.steps),
            model.towers,
            tokenizer,
        )
    )


def before_the_map(run: Run, model: Pretraining) -> Vectors:
    """What a pool's map is given, mean and largest of all tokens: a pool more, whose map changes nothing."""
    width = run.towers.width
    pool = Project().build(width, 2 * width)
    nn.init.eye_(pool.map.weight)
    nn.init.zeros_(pool.map.bias)
    model.towers.pools["tokens"] = pool
    return Vectors(embedder(replace(run, embed="tokens"), model))


def plain(name: str) -> str:
    return name.replace(" ", "-").replace(",", "")
