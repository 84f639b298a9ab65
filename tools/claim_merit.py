"""What MERIT must show: both parts together find more than the contrast alone, more so in fine labels than in coarse
ones, and reconstruct nearly as well as the masked model alone.

    python tools/claim_merit.py --to jobs/records/merit@1

Arms: masked only, contrast only, both, two with unequal weights and the same two swapped, and both with the sigmoid
loss. They are trained on one synthetic corpus and examined on subjects of another one, in PTB-XL's layout: `super` and
`rhythm` are coarse, `sub` and the table of truths, `factors`, are fine. Thresholds of F1 come from the validation
records. `form` is left out: a few recordings in a hundred say it here.

Masked modelling alone never moves the pool, and a probe of its vectors would look through the map that they were drawn
with. So all arms are probed before the pool's map: mean and largest of each channel of the tokens, side by side, with
nothing hidden. Zero-shot is by the pool.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
import tyro
from claim_page import less, write
from claims import (
    DRAWS,
    Found,
    Setting,
    all_sized,
    before_the_map,
    corpus,
    embedder,
    landmarks,
    train_all,
    with_text,
)
from matplotlib.figure import Figure as Picture

from ecgfm import recipes
from ecgfm.evaluate import metrics
from ecgfm.evaluate.embed import Vectors, windows
from ecgfm.evaluate.examine import probes, zero_shot
from ecgfm.evaluate.tasks import Examined, Task, read
from ecgfm.model.encoded import Encoded
from ecgfm.objectives.merit import Config
from ecgfm.objectives.parts.decoder import PatchDecoder, squared_error
from ecgfm.run import Run
from ecgfm.train.pretraining import Pretraining

BASE, FINE = "contrast", ("sub", "factors")


@dataclass(frozen=True)
class Claim(Setting):
    to: str = "jobs/records/merit@1"
    sets: tuple[str, ...] = ("super", "rhythm", "sub", "factors")
    """Labels that are examined, coarse ones first."""


def arms(base: Run) -> dict[str, Run]:
    config = base.objectives["merit"]

    def arm(**changes) -> Run:
        return replace(base, objectives={"merit": replace(config, **changes)})

    def weighted(mem: float, contrast: float) -> Run:
        return arm(terms={"mem": mem, "contrast": contrast, "bound": 0.0})

    return {
        "masked": arm(terms={"mem": 1.0}),
        "contrast": arm(terms={"contrast": 1.0, "bound": 0.0}),
        "both": weighted(1.0, 1.0),
        "both, mem 1 to 4": weighted(0.25, 1.0),
        "both, mem 4 to 1": weighted(1.0, 0.25),
        "both, sigmoid": arm(loss="sigmoid", scale=10.0),
    }


def examined_by(tasks: Sequence[Examined], run: Run, model: Pretraining) -> Found:
    """AUC and macro F1 of every task and way, and the model's own figures on the first task's test records."""
    found = own(tasks[0], run, model)
    vectors, tokens = Vectors(embedder(run, model)), before_the_map(run, model)
    drawn: dict[str, dict[str, np.ndarray]] = {}  # by way and metric, and by set
    for task, weights in zip(tasks, same_draws(tasks), strict=True):
        ways = {**zero_shot(vectors, task, weights), **probes(tokens, task, weights)}
        for way, by_metric in ways.items():
            for metric in ("auc", "f1"):
                mean = np.mean([metrics.macro(array) for array in by_metric[metric]], axis=0)
                found[f"{task.task.set}, {way}, {metric}"] = mean.tolist()
                drawn.setdefault(f"{way}, {metric}", {})[task.task.set] = mean
    return found | {f"fine less coarse, {what}": made for what, some in drawn.items() if (made := finer(some))}


def finer(by_set: Mapping[str, np.ndarray]) -> list[float]:
    """By how much more is found of fine sets than of coarse ones; nothing where one of them is missing."""
    fine, coarse = ([array for name, array in by_set.items() if (name in FINE) == is_] for is_ in (True, False))
    return (np.mean(fine, axis=0) - np.mean(coarse, axis=0)).tolist() if fine and coarse else []


def same_draws(tasks: Sequence[Examined]) -> list[metrics.Weights]:
    """Of subjects, for sets whose test records are not all the same."""
    subjects = [task.splits["test"].subject for task in tasks]
    every = np.unique(np.concatenate(subjects))
    weights = metrics.resample(every, DRAWS)
    return [weights[np.searchsorted(every, some)] for some in subjects]


@torch.no_grad()
def own(task: Examined, run: Run, model: Pretraining) -> Found:
    """The error of reconstruction, where there is one; these records bring no reports."""
    config = cast(Config, run.objectives["merit"])
    if "mem" not in config.terms:
        return {}
    decoder, errors = cast(PatchDecoder, model.get_submodule("objectives.merit.decoder")), []
    for batch, _ in windows(task.task.folder, task.splits["test"].record, run.frame):
        seen = Encoded(model.towers, batch, 0)
        ecg = seen.ecg(config.masked)
        guess = decoder(ecg.tokens, ecg.kept, seen.signal.valid())
        errors.append((squared_error(guess, seen.signal, ecg.dropped).item(), len(batch)))
    return {"error": [float(np.average([e for e, _ in errors], weights=[size for _, size in errors]))]}


def gains(found: Mapping[str, Sequence[Found]], sets: Sequence[str]) -> Picture:
    """What each arm finds beyond the contrast alone, for each set of labels."""
    figure = Picture((11, 7), layout="constrained")
    more = {name: less(runs, found[BASE]) for name, runs in found.items() if BASE in found and name != BASE}
    ways = (("zero-shot", "auc"), ("zero-shot", "f1"), ("probe 1 %", "auc"), ("probe 1 %", "f1"))
    for panel, (way, metric) in zip(figure.subplots(2, 2).ravel(), ways, strict=True):
        for number, (name, some) in enumerate(more.items()):
            shown = [(i, some[f"{s}, {way}, {metric}"]) for i, s in enumerate(sets) if f"{s}, {way}, {metric}" in some]
            spread = [[gain.value - gain.low for _, gain in shown], [gain.high - gain.value for _, gain in shown]]
            panel.errorbar(
                [i + number * 0.12 for i, _ in shown], [g.value for _, g in shown], spread, fmt="o", label=name
            )
        panel.axhline(0, color="black", linewidth=0.5)
        panel.set(title=f"{way}, {metric}, less that of the contrast alone", xticks=range(len(sets)), xticklabels=sets)
        panel.legend(fontsize=7)
    return figure


def main(claim: Claim) -> None:
    where, lessons = corpus(claim, "mimic-iv-ecg", claim.records)
    other, truths = corpus(claim, "ptb-xl", claim.records, seed=1)  # other people
    tasks = [read(Task(other, truths if name == "factors" else name)) for name in claim.sets]
    base = with_text(recipes.find([f"merit_{claim.recipe}"]), claim, where)
    made = arms(base)
    found = train_all(made, claim, where, lambda run, model: examined_by(tasks, run, model))
    picture = {"gains": gains(found, claim.sets)}
    fine = read(Task(other, truths))
    found |= landmarks(fine, Task(where, lessons), base, claim, lambda way: f"factors, {way}, auc")
    write(claim, "MERIT", all_sized(made, claim), found, picture, dict.fromkeys(set(made) - {BASE}, BASE))


if __name__ == "__main__":
    main(tyro.cli(Claim, description=__doc__))
