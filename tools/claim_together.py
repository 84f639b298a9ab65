"""What methods together learn beside each alone, in the same steps and at the same cost.

    python tools/claim_together.py --to jobs/records/together@1

Arms: `together` and each method's own recipe, over the same towers and records; and each of these once more in as many
steps as cost what `together` costs, counted in operations (ecgfm.train.estimate), so that a cheap method sees more
records. All are examined on test subjects as downstream would use them: zero-shot, where they read reports, and by
probes of the vector that the recipe embeds by; and, as these differ in width and in what they are made of, by probes of
mean and largest of all tokens of the whole recording, which are of one width in all arms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import tyro
from claim_page import over_seeds, write
from claims import (
    DRAWS,
    Found,
    Setting,
    areas,
    before_the_map,
    corpus,
    embedder,
    landmarks,
    sized,
    train_all,
    with_text,
)
from matplotlib.figure import Figure as Picture

from ecgfm import recipes
from ecgfm.evaluate import metrics
from ecgfm.evaluate.embed import Vectors
from ecgfm.evaluate.examine import examine, probes
from ecgfm.evaluate.tasks import Examined, Task, read
from ecgfm.run import Run
from ecgfm.train.estimate import measure
from ecgfm.train.pretraining import Pretraining

TOGETHER, ALONE = "together", ("dbeta", "fingerprint", "merit", "crossl", "dense")
SHOWN = ("zero-shot", "probe 1 %", "probe 10 %", "probe 100 %")


@dataclass(frozen=True)
class Claim(Setting):
    to: str = "jobs/records/together@1"
    batch: int = 256
    """Twice as many as the towers have channels, as some methods look at a covariance."""


def examined_by(examined: Examined, run: Run, model: Pretraining) -> Found:
    weights = metrics.resample(examined.splits["test"].subject, DRAWS)
    found = areas(examine(Vectors(embedder(run, model)), examined, weights), "{}, AUC".format)
    found |= areas(probes(before_the_map(run, model), examined, weights), "{} of all tokens, AUC".format)
    return found | {"operations of a record, 10^9": [cost(run) / 1e9]}


def cost(run: Run) -> float:
    """Operations that a record takes, forward and backward."""
    return measure(run, Pretraining.of(run), "fp32").operations


def as_dear(claim: Claim, alone: Run, together: Run) -> int:
    """Steps of a method alone that cost what all steps of `together` do."""
    return round(claim.steps * cost(sized(together, claim, 0)) / cost(sized(alone, claim, 0)))


def side_by_side(found: Mapping[str, Sequence[Found]]) -> Picture:
    figure = Picture((11, 7), layout="constrained")
    means = {name: over_seeds(runs) for name, runs in found.items()}
    for panel, way in zip(figure.subplots(2, 2).ravel(), SHOWN, strict=True):
        shown = [(name, some[f"{way}, AUC"]) for name, some in means.items() if f"{way}, AUC" in some]
        for place, (_, auc) in enumerate(shown):
            panel.errorbar(auc.value, place, xerr=[[auc.value - auc.low], [auc.high - auc.value]], fmt="o")
        panel.set(title=f"{way}, AUC", yticks=range(len(shown)), yticklabels=[name for name, _ in shown])
    return figure


def main(claim: Claim) -> None:
    where, truths = corpus(claim, "mimic-iv-ecg", claim.records)
    task = Task(where, truths)
    examined = read(task)
    look = partial(examined_by, examined)
    made = {name: with_text(recipes.find([f"{name}_{claim.recipe}"]), claim, where) for name in (TOGETHER, *ALONE)}
    dear = {name: as_dear(claim, made[name], made[TOGETHER]) for name in ALONE}
    called = {name: f"{name}, {steps} steps" for name, steps in dear.items()}
    longer = {called[name]: steps for name, steps in dear.items()}
    made |= {called[name]: made[name] for name in ALONE}
    runs = {name: sized(arm, replace(claim, steps=longer.get(name, claim.steps)), 0) for name, arm in made.items()}
    found = train_all(made, claim, where, look, longer)
    picture = {"side by side": side_by_side(found)}
    found |= landmarks(examined, task, made[TOGETHER], claim, "{}, AUC".format)
    against = dict.fromkeys([name for name in runs if name != TOGETHER], TOGETHER)
    write(claim, "Together, and each alone", runs, found, picture, against)


if __name__ == "__main__":
    main(tyro.cli(Claim, description=__doc__))
