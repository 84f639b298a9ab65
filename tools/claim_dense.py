"""What dense features must show: on held-out records, a higher effective rank at an equal probe, and less drift between
the visits of a patient at a matched spectrum; each term on its own; and that rank alone proves nothing.

    python tools/claim_dense.py --to jobs/records/dense@1

Arms: MERIT, and beside it each term of dense features on MERIT's vector, two of them, and all; and dense features
alone. All arms read the same records in the same order, two visits of a patient side by side, and compute every term,
at weight 0 where it is not theirs. Random features in the place of vectors are the control: of full rank, and empty.

Everything is said of a corpus of other people, of at least ten records per channel. What consistency does is read off
all terms beside balance and orthogonality alone. Drift is compared in each arm with that of strangers, who have the
same spectrum, and is taken once more of whitened vectors, which have the same spectrum in all arms. The
probe is a ridge regression of each half of the people, tried on the other; floor and the same towers taught by the
labels are read by it as well.

A covariance over fewer records than the vector has channels cannot be balanced, so batches are twice as large as the
towers are wide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import tyro
from claim_page import write
from claims import DRAWS, Found, Setting, all_sized, corpus, home_of, restored, sized, train_all, with_text
from supervised import taught

from ecgfm import charts, draw, geometry, recipes
from ecgfm.data.storage import Folder
from ecgfm.data.synthetic.floor import SIMPLE
from ecgfm.evaluate import metrics, probe
from ecgfm.evaluate.embed import averaged, windows
from ecgfm.evaluate.marks import measured
from ecgfm.evaluate.tasks import Cohort, Task, read
from ecgfm.losses.spectrum import moments
from ecgfm.model.encoded import Encoded
from ecgfm.model.views import EcgView
from ecgfm.objectives import dense, merit
from ecgfm.run import Run
from ecgfm.train.pretraining import Pretraining

CONTROL, PROBE = "random features", "probe, AUC"
ADDED: Mapping[str, tuple[str, ...]] = {
    "merit": (),
    **{f"merit + {term}": (term,) for term in dense.TERMS},
    "merit + balance, orthogonality": ("balance", "orthogonality"),
    "merit + all": dense.TERMS,
}


@dataclass(frozen=True)
class Claim(Setting):
    to: str = "jobs/records/dense@1"
    batch: int = 256
    weight: float = 1.0
    """Of each term beside MERIT's."""


def arms(base: Run, weight: float) -> dict[str, Run]:
    def arm(terms: Sequence[str], **beside) -> Run:
        weights = {term: weight if term in terms else 0.0 for term in dense.TERMS}
        return replace(base, objectives={**beside, "dense": dense.Config(weights, pool=merit.POOL)})

    pools = {**base.towers.pools, **merit.Config().pools}  # also where MERIT is not there to ask for it
    alone = replace(arm(dense.TERMS), towers=replace(base.towers, pools=pools))
    return {name: arm(terms, **base.objectives) for name, terms in ADDED.items()} | {"dense alone": alone}


@dataclass(frozen=True)
class Held:
    """Records of people that no arm has met."""

    folder: Folder
    cohort: Cohort

    @staticmethod
    def of(task: Task, width: int) -> "Held":
        parts = [*read(task).splits.values()]
        columns = ("record", "subject", "labels", "severity")
        cohort = Cohort(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))
        if len(cohort) < 10 * width:
            raise ValueError(f"{len(cohort)} held-out records for {width} channels: ask for --records {22 * width}")
        return Held(task.folder, cohort)

    @torch.no_grad()
    def vectors(self, run: Run, model: Pretraining, pool: str = merit.POOL) -> np.ndarray:
        """Nothing hidden."""
        device = next(model.parameters()).device
        batches = windows(self.folder, self.cohort.record, run.frame)
        seen = ((Encoded(model.towers, batch.to(device), 0), which) for batch, which in batches)
        return averaged(((one.embed(EcgView(), pool), which) for one, which in seen), len(self.cohort))


def examine(vectors: np.ndarray, cohort: Cohort) -> Found:
    x, subject, record = (torch.from_numpy(part) for part in (vectors, cohort.subject, cohort.record))
    there = torch.ones(len(x), dtype=torch.bool)
    made = geometry.shape(x, there) | relative(geometry.drift(x, subject, record))
    flat = relative(geometry.drift(whitened(x, there), subject, record))
    made |= {f"{name}, whitened": value for name, value in flat.items()}
    return {name: [value.item()] for name, value in made.items()} | probed(vectors, cohort)


def relative(drift: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """With its share of what strangers have; nothing where no patient came twice."""
    return {**drift, "drift / strangers": drift["drift"] / drift["strangers"]} if drift else {}


def whitened(x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Of the same spectrum in every arm, a flat one, so that its shape moves no drift."""
    middle, covariance = moments(x.double(), there)
    values, directions = torch.linalg.eigh(covariance)
    return ((x.double() - middle) @ directions / values.clamp(min=values[-1] * geometry.FLOOR).sqrt()).to(x)


def probed(vectors: np.ndarray, cohort: Cohort) -> Found:
    scores = probe.quick(vectors, cohort.labels, cohort.subject)
    return {PROBE: auc(scores, cohort)}


def auc(scores: np.ndarray, cohort: Cohort) -> list[float]:
    weights = metrics.resample(cohort.subject, DRAWS)
    return metrics.macro(metrics.auc(scores, cohort.labels, weights)).tolist()


def landmarks(claim: Claim, held: Held, base: Run, lessons: Task) -> dict[str, list[Found]]:
    """Simple features and thorough ones, the same towers taught by the labels, and the oracle."""
    features = measured(held.folder, held.cohort.record)
    marks: dict[str, list[Found]] = {"floor": [probed(features[:, :SIMPLE], held.cohort)]}
    marks["ruler"] = [probed(features, held.cohort)]
    if held.cohort.severity is not None:
        marks["ceiling"] = [{PROBE: auc(held.cohort.severity, held.cohort)}]

    def seen(run: Run, model: Pretraining) -> Found:
        return probed(held.vectors(run, model, "summary"), held.cohort)

    return marks | train_all({"supervised, all labels": taught(base, lessons)}, claim, lessons.shards, seen)


def random_features(records: int, width: int, seed: int) -> np.ndarray:
    return draw.generator(CONTROL, seed).normal(size=(records, width)).astype(np.float32)


def main(claim: Claim) -> None:
    where, lessons = corpus(claim, "mimic-iv-ecg", claim.records)
    others, truths = corpus(claim, "mimic-iv-ecg", claim.records // 2, seed=1)
    base = with_text(recipes.find([f"merit_{claim.recipe}"]), claim, where)
    width = sized(base, claim, 0).towers.width
    held, made = Held.of(Task(others, truths), width), arms(base, claim.weight)
    found = train_all(made, claim, where, lambda run, model: examine(held.vectors(run, model), held.cohort))
    noise = [random_features(len(held.cohort), width, seed) for seed in range(claim.seeds)]
    spectra = {}
    for name in found:
        run = sized(made[name], claim, seed=0)
        spectra[name] = geometry.spectrum(held.vectors(run, restored(run, home_of(claim, name, seed=0))))
    found[CONTROL] = [examine(vectors, held.cohort) for vectors in noise]
    spectra[CONTROL] = geometry.spectrum(noise[0])
    found |= landmarks(claim, held, base, Task(where, lessons))
    against = dict.fromkeys([name for name in (*made, CONTROL) if name != "merit"], "merit")
    against["merit + all"] = "merit + balance, orthogonality"
    write(claim, "Dense features", all_sized(made, claim), found, {"spectrum": charts.spectra(spectra)}, against)


if __name__ == "__main__":
    main(tyro.cli(Claim, description=__doc__))
