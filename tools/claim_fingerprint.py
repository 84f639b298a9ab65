"""What a fingerprint must show: at matched error of reconstruction, tokens that repeat one another less, vary from
record to record, and serve a probe better where labels are few.

    python tools/claim_fingerprint.py --to jobs/records/fingerprint@1

Arms: the weight of the rate at 8 tokens, and 1 to 32 tokens with and without it; the rate over the batch; queries that
are not added to their answers; the mean and the first token in the place of tokens. A probe reads the tokens of a
record side by side. Everything is said of the corpus's test records.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import torch
import tyro
from claims import (
    DRAWS,
    Found,
    Setting,
    all_sized,
    corpus,
    home_of,
    landmarks,
    over_seeds,
    restored,
    sized,
    train_all,
    write,
)
from matplotlib.figure import Figure as Picture
from sklearn.feature_selection import mutual_info_classif

from ecgfm import geometry, recipes
from ecgfm.batch import Batch
from ecgfm.data.record import LEADS
from ecgfm.data.storage import Folder
from ecgfm.evaluate import metrics, probe
from ecgfm.evaluate.embed import averaged, windows
from ecgfm.evaluate.tasks import Cohort, Examined, Task, read
from ecgfm.model.encoded import Encoded
from ecgfm.model.patches import PATCH
from ecgfm.model.pool import Bottleneck, Project, Queries
from ecgfm.model.views import EcgView
from ecgfm.objectives.fingerprint import POOL, Config, as_tokens
from ecgfm.overlay import attention, drawn
from ecgfm.picture import ecg
from ecgfm.run import Run
from ecgfm.train.pretraining import Pretraining

WEIGHTS = (0.0, 0.002, 0.02, 0.2)
CONTROLS: dict[str, Literal["mean", "first"]] = {"mean": "mean", "first": "first"}
COUNTS = (1, 2, 4, 8, 16, 32)
SHOWN = ("k 8 tcr 0", "k 8 tcr 0.02")  # arms of which pages are drawn
MOST = 2000  # records whose tokens are compared with one another


@dataclass(frozen=True)
class Claim(Setting):
    to: str = "jobs/records/fingerprint@1"


def arms(base: Run) -> dict[str, Run]:
    def arm(**changes) -> Run:
        return replace(base, objectives={"fingerprint": Config(**changes)})

    def weighted(tcr: float, count: int) -> Run:
        return arm(terms={"mem": 1.0, "tcr": tcr}, pool=Queries(count))

    made = {f"k 8 tcr {tcr:g}": weighted(tcr, 8) for tcr in WEIGHTS}
    made["k 8 slots 0.02"] = arm(terms={"mem": 1.0, "tcr": 0.0, "slots": 0.02})
    made["k 8 tcr 0.02, own answers"] = arm(pool=Queries(8, residual=False))
    made |= {name: arm(terms={"mem": 1.0}, pool=Project(over)) for name, over in CONTROLS.items()}
    return made | {f"k {count} tcr {tcr:g}": weighted(tcr, count) for count in COUNTS for tcr in WEIGHTS if count != 8}


def examine(examined: Examined, run: Run, model: Pretraining) -> Found:
    """Error and shape of the tokens, and probes of all of them and of each."""
    folder, splits = examined.task.folder, examined.splits
    tokens = {split: embed(model, folder, cohort, run) for split, cohort in splits.items()}
    weights = metrics.resample(splits["test"].subject, DRAWS)
    some = torch.from_numpy(tokens["test"][:MOST])
    found = {"error": [reconstruct(model, folder, splits["test"], run)]}
    found |= {name: [value.item()] for name, value in geometry.slots(some).items()}
    found |= probed({split: z.reshape(len(z), -1) for split, z in tokens.items()}, splits, weights)
    return found | followed(tokens["test"], splits["test"])


@torch.no_grad()
def embed(model: Pretraining, folder: Folder, cohort: Cohort, run: Run) -> np.ndarray:
    """[record, token, channel], nothing hidden."""
    seen = ((Encoded(model.towers, batch, 0), which) for batch, which in windows(folder, cohort.record, run.frame))
    tokens = ((as_tokens(one.embed(EcgView(), POOL)), which) for one, which in seen)
    flat = averaged(((z.flatten(1), which) for z, which in tokens), len(cohort))
    return flat.reshape(len(cohort), -1, run.towers.width)


@torch.no_grad()
def reconstruct(model: Pretraining, folder: Folder, cohort: Cohort, run: Run) -> float:
    """The error on dropped patches, as in training."""
    errors = [
        (model(batch, 0)[1]["fingerprint/mem"].item(), len(batch))
        for batch, _ in windows(folder, cohort.record, run.frame)
    ]
    return float(np.average([error for error, _ in errors], weights=[size for _, size in errors]))


def probed(vectors: Mapping[str, np.ndarray], splits: Mapping[str, Cohort], weights: np.ndarray) -> Found:
    """Mean AUC over findings, with few labels and with all."""
    train, valid, test = probe.standardised(vectors["train"], vectors["valid"], vectors["test"])
    found = {}
    for share, seeds in probe.SHARES.items():
        areas = []
        for seed in range(seeds):
            rows = probe.few(splits["train"].labels, share, seed)
            labels = splits["train"].labels[rows]
            scores = probe.probe(train[rows], labels, valid, splits["valid"].labels, test)
            areas.append(metrics.macro(metrics.auc(scores.test, splits["test"].labels, weights)))
        found[f"AUC with {100 * share:g} % of labels"] = np.mean(areas, axis=0).tolist()
    return found


def followed(tokens: np.ndarray, cohort: Cohort) -> Found:
    """Does a finding stand in one token? Of each finding, what the best token tells of it beyond the second best."""
    each = [probe.quick(tokens[:, place], cohort.labels, cohort.subject) for place in range(tokens.shape[1])]
    once = np.ones((len(cohort), 1), np.float32)
    areas = np.stack([metrics.auc(scores, cohort.labels, once)[0] for scores in each])
    told = np.stack([[_told(s[:, i], has) for i, has in enumerate(cohort.labels.T)] for s in each])
    best = np.sort(told, axis=0)[::-1]
    found = {"AUC of the best token": [float(np.nanmean(areas.max(0)))]}
    if len(best) > 1:
        found["information gap"] = [float(np.mean((best[0] - best[1]) / _entropy(cohort.labels)))]
    return found | {f"token {n}: AUC": [float(np.nanmean(row))] for n, row in enumerate(areas, 1) if len(areas) <= 8}


def _told(score: np.ndarray, has: np.ndarray) -> float:
    """Nats that a score tells of a finding."""
    return float(mutual_info_classif(score[:, None], has, random_state=0)[0])


def _entropy(labels: np.ndarray) -> np.ndarray:
    share = labels.mean(0).clip(1e-9, 1 - 1e-9)
    return -(share * np.log(share) + (1 - share) * np.log(1 - share))


def rate_distortion(found: Mapping[str, Sequence[Found]]) -> Picture:
    """Error against the number of tokens for each weight, and against redundancy."""
    figure = Picture((10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    means = {name: over_seeds(runs) for name, runs in found.items()}
    for color, tcr in enumerate(WEIGHTS):
        known = [(k, means[f"k {k} tcr {tcr:g}"]) for k in COUNTS if f"k {k} tcr {tcr:g}" in means]
        errors = [some["error"] for _, some in known]
        spread = [[e.value - e.low for e in errors], [e.high - e.value for e in errors]]
        left.errorbar([k for k, _ in known], [e.value for e in errors], spread, color=f"C{color}", label=f"{tcr:g}")
        for k, some in known:
            if "redundancy" in some:
                right.plot(some["redundancy"].value, some["error"].value, "o", color=f"C{color}")
                right.annotate(str(k), (some["redundancy"].value, some["error"].value))
    left.set(xscale="log", xticks=COUNTS, xticklabels=COUNTS, xlabel="tokens", ylabel="error of dropped patches")
    left.legend(title="weight of the rate")
    right.set(xlabel="redundancy", ylabel="error of dropped patches")
    return figure


@torch.no_grad()
def pages(model: Pretraining, batch: Batch, run: Run) -> dict[str, Picture]:
    """One record: what is hidden and guessed, and where each token looks."""
    seen, config = Encoded(model.towers, batch[:1], 0), cast(Config, run.objectives["fingerprint"])
    rate, signal = float(run.frame.rate), seen.signal
    decoder = cast(torch.nn.Module, model.get_submodule("objectives.fingerprint.decoder"))
    guess = signal.restore(decoder(as_tokens(seen.embed(config.view, POOL)), signal.valid()))[0].numpy()
    millivolts = signal.millivolts[0].numpy()
    hidden = seen.ecg(config.view).dropped[0].repeat_interleave(PATCH).numpy()
    found = {"drawn": drawn(ecg(millivolts, rate, LEADS), guess, rate, LEADS, hidden)}
    pool, whole = model.towers.pools[POOL], seen.ecg()
    if isinstance(pool, Bottleneck):
        weight = pool.attention(whole.tokens, whole.mask)[0, :, 1:].numpy()  # after the summary
        rows = [LEADS.index(lead) for lead in ("II", "V1", "V5")]
        found["attention"] = attention(millivolts[rows], rate, ("II", "V1", "V5"), weight, PATCH)
    return found


def main(claim: Claim) -> None:
    base = recipes.find([f"fingerprint_{claim.recipe}"])
    where, truths = corpus(claim, "mimic-iv-ecg", claim.records)
    examined, made = read(Task(where, truths)), arms(base)
    found = train_all(made, claim, where, lambda run, model: examine(examined, run, model))
    pictures = {"rate-distortion": rate_distortion(found)}
    for name in SHOWN:
        if name in found:
            run = sized(made[name], claim, seed=0)
            model = restored(run, home_of(claim, name, seed=0))
            batch, _ = next(windows(examined.task.folder, examined.splits["test"].record, run.frame))
            pictures |= {f"{what} {name}": page for what, page in pages(model, batch, run).items()}
    named = "AUC with {} of labels".format
    found |= landmarks(examined, examined.task, base, claim, lambda way: named(way.removeprefix("probe ")))
    write(claim, "Fingerprint tokens", all_sized(made, claim), found, pictures)


if __name__ == "__main__":
    main(tyro.cli(Claim, description=__doc__))
