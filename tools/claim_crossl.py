"""What CroSSL must show: a vector that loses little when leads are missing, because it was learnt with latents hidden.

    python tools/claim_crossl.py --to jobs/records/crossl@1

Arms: spatial masking with a keep ratio from 0.2 to 1, at which nothing is hidden; temporal and random masking, which
never hide a whole modality or hardly ever; a modality per lead; an encoder for each group of leads, and the ECG beside
the pulse wave, both with and without masking. A probe is fitted to the vectors of whole records, and then reads the
vectors of the same test records with every subset of the modalities missing: by how much its mean AUC falls is what
hiding latents is to lessen. Beside it stand the mean AUC over the subsets, as a vector that tells nothing has nothing
to lose, and how a representation does with everything there, and with few labels.

A covariance over fewer records than the vector has channels can be told apart from that of anything, so batches are
twice as large as the towers are wide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
import tyro
from claim_page import over_seeds, write
from claims import DRAWS, Found, Setting, all_sized, areas, corpus, landmarks, of_labels, train_all
from matplotlib.figure import Figure as Picture

from ecgfm import geometry, recipes
from ecgfm.batch import Batch
from ecgfm.data.record import LEADS
from ecgfm.evaluate import metrics, probe
from ecgfm.evaluate.embed import averaged, windows
from ecgfm.evaluate.examine import probed
from ecgfm.evaluate.tasks import Cohort, Examined, Task, read
from ecgfm.model.aggregate import GROUPS
from ecgfm.model.encoded import Encoded
from ecgfm.model.views import EcgView
from ecgfm.objectives.crossl import POOL
from ecgfm.run import Run
from ecgfm.train.pretraining import Pretraining

LEFT, FALL = "AUC, mean of subsets", "fall of the AUC, mean of subsets"
KEEPS = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
REGIONS = dict(zip(("limb", "augmented", "precordial"), GROUPS["regions"], strict=True))


@dataclass(frozen=True)
class Claim(Setting):
    to: str = "jobs/records/crossl@1"
    batch: int = 256


@dataclass(frozen=True)
class Subset:
    """What of a record is there."""

    leads: tuple[str, ...]
    pulse: bool

    def of(self, batch: Batch) -> Batch:
        there = torch.tensor([lead in self.leads for lead in LEADS])
        return replace(batch, leads=batch.leads & there, others=batch.others if self.pulse else {})


def arms(base: Run) -> dict[str, Run]:
    config = base.objectives["crossl"]

    def arm(**changes) -> Run:
        return replace(base, objectives={"crossl": replace(config, **changes)})

    made = {f"spatial, keep {keep:g}": arm(keep=keep) for keep in KEEPS}
    made |= {f"{masking}, keep 0.6": arm(masking=masking) for masking in ("temporal", "random")}
    made["leads, keep 0.6"] = arm(groups="leads")
    made |= {f"own encoders, keep {keep:g}": arm(own=True, keep=keep) for keep in (0.6, 1.0)}
    pulse = {"groups": "whole", "kinds": ("ppg",)}
    return made | {f"pulse, keep {keep:g}": arm(keep=keep, **pulse) for keep in (0.6, 1.0)}


def against(made: Mapping[str, Run]) -> dict[str, str]:
    """What hides beside the same that hides nothing; other ways of hiding, and other shares, beside the recipe's."""
    recipes_own, bare = "spatial, keep 0.6", ("spatial, keep 1", "pulse, keep 1")
    others = {name: recipes_own for name in made if name not in bare}
    hidden = {f"{way}, keep 0.6": f"{way}, keep 1" for way in ("spatial", "own encoders", "pulse")}
    return others | hidden | {"own encoders, keep 1": "spatial, keep 1"}


def subsets(kinds: Sequence[str]) -> dict[str, Subset]:
    """All that can be left of a record; everything comes first."""
    if kinds:
        return {"ECG+pulse": Subset(LEADS, True), "ECG": Subset(LEADS, False), "pulse": Subset((), True)}
    chosen = [names for size in (3, 2, 1) for names in combinations(REGIONS, size)]
    return {"+".join(names): Subset(sum((REGIONS[name] for name in names), ()), False) for names in chosen}


def examine(examined: Examined, run: Run, model: Pretraining) -> Found:
    splits, weights = examined.splits, metrics.resample(examined.splits["test"].subject, DRAWS)
    kinds = model.towers.config.others
    left = subsets(kinds)
    whole, *_ = left.values()
    vectors = {split: embed(model, examined, splits[split], run, [whole])[0] for split in ("train", "valid")}
    tests = dict(zip(left, embed(model, examined, splits["test"], run, [*left.values()]), strict=True))
    seen = torch.from_numpy(tests[next(iter(left))])
    shape = geometry.shape(seen, torch.ones(len(seen), dtype=torch.bool))
    found = {f"shape: {name}": [value.item()] for name, value in shape.items()}
    few = {share: seeds for share, seeds in probe.SHARES.items() if share < 1}
    everything = {**vectors, "test": tests[next(iter(left))]}
    found |= areas(probed(everything, splits, weights, few), of_labels)
    return found | lost(vectors, tests, splits, weights)


@torch.no_grad()
def embed(model: Pretraining, examined: Examined, cohort: Cohort, run: Run, left: Sequence[Subset]) -> list[np.ndarray]:
    """The vectors of what each subset leaves of every record."""
    seen: list[list] = [[] for _ in left]
    for batch, which in windows(examined.task.folder, cohort.record, run.frame, model.towers.config.others):
        for vectors, subset in zip(seen, left, strict=True):
            vectors.append((Encoded(model.towers, subset.of(batch), 0).embed(EcgView(), POOL), which))
    return [averaged(iter(vectors), len(cohort)) for vectors in seen]


def lost(
    vectors: Mapping[str, np.ndarray],
    tests: Mapping[str, np.ndarray],
    splits: Mapping[str, Cohort],
    weights: np.ndarray,
) -> Found:
    """Mean AUC over findings of one probe, on every subset; and by how much it falls where something is missing."""
    train, valid, *each = probe.standardised(vectors["train"], vectors["valid"], *tests.values())
    known = splits["valid"].labels
    maps = probe.fit(train, splits["train"].labels, probe.STRENGTHS)
    best = max(maps, key=lambda m: metrics.macro(metrics.auc(probe.predict(valid, m), known, once(known)))[0])
    areas = [metrics.macro(metrics.auc(probe.predict(z, best), splits["test"].labels, weights)) for z in each]
    found = {f"AUC, {name}": area for name, area in zip(tests, areas, strict=True)}
    found |= {LEFT: np.mean(areas[1:], axis=0), "AUC, worst subset": np.min(areas[1:], axis=0)}
    found[FALL] = areas[0] - found[LEFT]
    return {name: area.tolist() for name, area in found.items()}


def once(labels: np.ndarray) -> np.ndarray:
    return np.ones((len(labels), 1), np.float32)


def falls(found: Mapping[str, Sequence[Found]]) -> Picture:
    """The AUC on each subset by arm, of leads and beside the pulse, and against the keep ratio."""
    figure = Picture((16, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    means = {name: over_seeds(runs) for name, runs in found.items()}
    for panel, kinds in ((left, ()), (middle, ("ppg",))):
        names = [f"AUC, {name}" for name in subsets(kinds)]
        for arm, some in ((arm, some) for arm, some in means.items() if names[0] in some):
            panel.plot([some[name].value for name in names], marker=".", label=arm)
        panel.set_xticks(range(len(names)), [name.removeprefix("AUC, ") for name in names], rotation=30, ha="right")
        panel.set_ylabel("mean AUC")
        panel.legend(fontsize=7)
    names = [f"AUC, {name}" for name in subsets(())]
    keeps = [keep for keep in KEEPS if f"spatial, keep {keep:g}" in means]
    for what in (names[0], LEFT):
        values = [means[f"spatial, keep {keep:g}"][what] for keep in keeps]
        right.plot(keeps, [v.value for v in values], marker=".", label=what)
        right.fill_between(keeps, [v.low for v in values], [v.high for v in values], alpha=0.2)
    right.set_xlabel("keep ratio, spatial masking")
    right.legend(fontsize=7)
    return figure


def main(claim: Claim) -> None:
    base = recipes.find([f"crossl_{claim.recipe}"])
    where, truths = corpus(claim, "mimic-iv-ecg", claim.records, pulse=True)
    examined, made = read(Task(where, truths)), arms(base)
    found = train_all(made, claim, where, lambda run, model: examine(examined, run, model))
    picture = {"falls": falls(found)}
    whole = f"AUC, {next(iter(subsets(())))}"
    found |= landmarks(examined, examined.task, base, claim, lambda way: whole if "100" in way else of_labels(way))
    write(claim, "CroSSL: leads that are missing", all_sized(made, claim), found, picture, against(made))


if __name__ == "__main__":
    main(tyro.cli(Claim, description=__doc__))
