"""How fast towers learn from labels, by how their tokens become a vector and by how their convolutions lie.

    python tools/compare_pools.py --to jobs/records/pools@1 --steps 300 --seeds 1

What labels themselves do not teach in so many steps, no method without labels does. Found: the mean AUC over findings
of probes on the test records.
"""

from dataclasses import dataclass, replace

import tyro
from claim_page import write
from claims import DRAWS, Found, Setting, all_sized, areas, corpus, embedder, train_all
from supervised import taught

from ecgfm import recipes
from ecgfm.evaluate import metrics
from ecgfm.evaluate.embed import Vectors
from ecgfm.evaluate.examine import examine
from ecgfm.evaluate.tasks import Examined, Task, read
from ecgfm.model.pool import Project
from ecgfm.run import Run
from ecgfm.train.pretraining import Pretraining

POOLS = {
    "first token, bounded": Project("first", bounded=True),
    "first token": Project("first"),
    "mean": Project("mean"),
    "mean and largest, bounded": Project("peaks", bounded=True),
    "mean and largest": Project("peaks"),
}


@dataclass(frozen=True)
class Claim(Setting):
    to: str = "jobs/records/pools@1"


def arms(base: Run, task: Task) -> dict[str, Run]:
    published = replace(base, towers=replace(base.towers, published_layers=True))
    made = {name: taught(base, task, pool) for name, pool in POOLS.items()}
    return made | {"mean and largest, published layers": taught(published, task)}


def probed(examined: Examined, run: Run, model: Pretraining) -> Found:
    weights = metrics.resample(examined.splits["test"].subject, DRAWS)
    return areas(examine(Vectors(embedder(run, model)), examined, weights), "AUC, {}".format)


def main(claim: Claim) -> None:
    task = Task(*corpus(claim, "mimic-iv-ecg", claim.records))
    examined, made = read(task), arms(recipes.find([f"fingerprint_{claim.recipe}"]), task)
    found = train_all(made, claim, task.shards, lambda run, model: probed(examined, run, model))
    write(claim, "Pools and convolutions, taught by labels", all_sized(made, claim), found, {}, {})


if __name__ == "__main__":
    main(tyro.cli(Claim, description=__doc__))
