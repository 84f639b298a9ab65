"""What a fingerprint must show: at matched error of reconstruction, tokens that repeat one another less, vary from
record to record, and serve a probe better where labels are few.

    python tools/claim_fingerprint.py --to jobs/records/fingerprint@1

Arms: 1 to 32 tokens, each with three weights of the rate; the rate over the batch; queries that begin anywhere, and
such as are not added to their answers, with the rate and without; the mean and the first token in the place of tokens.
A probe reads the tokens of a record side by side, by as many of their principal components as one token has channels,
as many numbers can say more than few. Everything is said of the corpus's test records; what needs many rows
(ranks, CKA) of training ones. Arms are compared with the one of as many tokens without the rate, and only where the
errors are the same within their interval does the rest of the row say something about the rate.

Does a token follow a factor? A factor is how severe a finding is. A linear map of a token tells a share (R2) of it, and
so many nats; the gap is what the best token tells beyond the second best. Tokens that were mixed by a rotation tell the
same together, and their gap is what chance makes of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
import tyro
from claim_page import over_seeds, write
from claims import (
    DRAWS,
    Found,
    Setting,
    all_sized,
    areas,
    corpus,
    home_of,
    landmarks,
    of_labels,
    restored,
    sized,
    train_all,
)
from jaxtyping import Float
from matplotlib.figure import Figure as Picture
from scipy.linalg import eigh

from ecgfm import draw, geometry, recipes
from ecgfm.data.storage import Folder
from ecgfm.evaluate import metrics, probe
from ecgfm.evaluate.drawing import pages
from ecgfm.evaluate.embed import averaged, windows
from ecgfm.evaluate.examine import probed
from ecgfm.evaluate.tasks import Cohort, Examined, Task, read
from ecgfm.model.encoded import Encoded
from ecgfm.model.pool import Project, Queries
from ecgfm.model.views import EcgView
from ecgfm.objectives.fingerprint import POOL, Config, as_tokens
from ecgfm.objectives.parts.decoder import squared_error
from ecgfm.run import Run
from ecgfm.train.pretraining import Pretraining

WEIGHTS = (0.0, 0.02, 0.2)
DRAWN = {"mem": 1.0, "kept": 1.0}
CONTROLS: dict[str, Literal["mean", "first"]] = {"mean": "mean", "first": "first"}
COUNTS = (1, 2, 4, 8, 16, 32)
SHOWN = ("k 8 tcr 0", "k 8 tcr 0.02")  # arms of which pages are drawn
AGAINST_ERROR = ("redundancy", "cka", "slots_rank", "slot_variance", "AUC with 1 % of labels")
TOLD = ("train", "test")
MOST = 10_000  # records whose tokens are compared with one another


@dataclass(frozen=True)
class Claim(Setting):
    to: str = "jobs/records/fingerprint@1"


def arms(base: Run) -> dict[str, Run]:
    config = base.objectives["fingerprint"]

    def arm(pool: Queries | Project, **terms: float) -> Run:
        return replace(base, objectives={"fingerprint": replace(config, terms={**DRAWN, **terms}, pool=pool)})

    made = {f"k {count} tcr {tcr:g}": arm(Queries(count), tcr=tcr) for count in COUNTS for tcr in WEIGHTS if count > 1}
    made["k 1 tcr 0"] = arm(Queries(1), tcr=0.0)  # of one token the rate is always the same
    made["k 8 slots 0.02"] = arm(Queries(8), tcr=0.0, slots=0.02)
    made |= {f"k 8 tcr {tcr:g}, from anywhere": arm(Queries(8, local=False), tcr=tcr) for tcr in WEIGHTS}
    made |= {f"k 8 tcr {tcr:g}, own answers": arm(Queries(8, residual=False), tcr=tcr) for tcr in WEIGHTS[:2]}
    return made | {name: arm(Project(over)) for name, over in CONTROLS.items()}


def examine(examined: Examined, run: Run, model: Pretraining) -> Found:
    """Error and shape of the tokens, and probes of all of them and of each."""
    folder, splits = examined.task.folder, examined.splits
    tokens = {split: embed(model, folder, cohort, run) for split, cohort in splits.items()}
    weights = metrics.resample(splits["test"].subject, DRAWS)
    found = reconstruct(model, folder, splits["test"], run)
    found |= {name: [v.item()] for name, v in geometry.slots(torch.from_numpy(tokens["train"][:MOST])).items()}
    flat = {split: z.reshape(len(z), -1) for split, z in tokens.items()}
    found |= areas(probed(leading(flat, run.towers.width), splits, weights), of_labels)
    return found | gaps(tokens, splits)


@torch.no_grad()
def embed(model: Pretraining, folder: Folder, cohort: Cohort, run: Run) -> np.ndarray:
    """[record, token, channel], nothing hidden."""
    seen = ((Encoded(model.towers, batch, 0), which) for batch, which in windows(folder, cohort.record, run.frame))
    tokens = ((as_tokens(one.embed(EcgView(), POOL)), which) for one, which in seen)
    flat = averaged(((z.flatten(1), which) for z, which in tokens), len(cohort))
    return flat.reshape(len(cohort), -1, run.towers.width)


@torch.no_grad()
def reconstruct(model: Pretraining, folder: Folder, cohort: Cohort, run: Run) -> Found:
    """The error of the whole recording, drawn from the tokens that it is embedded by; and on dropped patches."""
    view, errors = cast(Config, run.objectives["fingerprint"]).view, []
    decoder = cast(torch.nn.Module, model.get_submodule("objectives.fingerprint.decoder"))
    for batch, _ in windows(folder, cohort.record, run.frame):
        seen = Encoded(model.towers, batch, 0)
        valid = seen.signal.valid()
        patches = {EcgView(): valid, view: seen.ecg(view).dropped}
        guesses = {one: decoder(as_tokens(seen.embed(one, POOL)), valid) for one in patches}
        errors.append([squared_error(guesses[one], seen.signal, patches[one]).item() for one in patches] + [len(batch)])
    whole, dropped, sizes = np.array(errors).T
    return {"error": [np.average(whole, weights=sizes)], "error, dropped": [np.average(dropped, weights=sizes)]}


def leading(vectors: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """The principal components of the training records' vectors."""
    middle, width = vectors["train"].mean(0), vectors["train"].shape[1]
    _, directions = eigh(np.cov(vectors["train"].T), subset_by_index=(width - count, width - 1))
    return {split: (z - middle) @ directions.astype(np.float32) for split, z in vectors.items()}


class Told(NamedTuple):
    """How much each token tells of each factor."""

    r2: Float[np.ndarray, "k factors"]
    nats: Float[np.ndarray, "k factors"]


def gaps(tokens: Mapping[str, np.ndarray], splits: Mapping[str, Cohort]) -> Found:
    """How much of each factor the best token tells, and how much more than the second best: means over factors."""
    count, told = tokens["train"].shape[1], told_by(tokens, splits)._asdict()
    found = {f"{what} of the best token": [float(some.max(0).mean())] for what, some in told.items()}
    if count > 1:
        turn, _ = np.linalg.qr(draw.generator("tokens", count).normal(size=(count, count)))
        mixed = {split: np.einsum("jk,nkd->njd", turn.astype(np.float32), z) for split, z in tokens.items()}
        found |= {f"gap of {what}": [_gap(some)] for what, some in told.items()}
        found |= {
            f"gap of {what}, tokens mixed": [_gap(some)] for what, some in told_by(mixed, splits)._asdict().items()
        }
    return found


def told_by(tokens: Mapping[str, np.ndarray], splits: Mapping[str, Cohort], strength: float = 0.01) -> Told:
    """On test records, by ridge regressions of the training ones."""
    factors, asked = (cast(np.ndarray, splits[split].severity).astype(np.float64) for split in ("train", "test"))
    middle = factors.mean(0)
    chance, shares, nats = ((asked - middle) ** 2).mean(0), [], []
    for place in range(tokens["train"].shape[1]):
        x, z = probe.standardised(tokens["train"][:, place].astype(np.float64), tokens["test"][:, place])
        maps = np.linalg.solve(x.T @ x + strength * len(x) * np.eye(x.shape[1]), x.T @ (factors - middle))
        guess = z @ maps + middle
        shares.append(1 - ((guess - asked) ** 2).mean(0) / chance)
        nats.append([information(*pair) for pair in zip(guess.T, asked.T, strict=True)])
    return Told(np.maximum(shares, 0), np.array(nats))


def information(guess: Float[np.ndarray, "n"], factor: Float[np.ndarray, "n"]) -> float:
    """In nats, of a guess by its tenths and a factor that is not there, mild or severe; less what chance adds
    (Miller and Madow).
    """
    mild = np.median(factor[factor > 0]) if (factor > 0).any() else 0.0
    tenths = np.searchsorted(np.quantile(guess, np.arange(0.1, 1, 0.1)), guess)
    joint = np.zeros((10, 3))
    np.add.at(joint, (tenths, (factor > 0).astype(int) + (factor > mild)), 1 / len(factor))
    joint = joint[joint.any(1)][:, joint.any(0)]
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    shared = (joint[joint > 0] * np.log((joint / apart)[joint > 0])).sum()
    return float(max(shared - (len(joint) - 1) * (joint.shape[1] - 1) / (2 * len(factor)), 0))


def _gap(told: Float[np.ndarray, "k factors"]) -> float:
    best = np.sort(told, axis=0)[::-1]
    return float((best[0] - best[1]).mean())


def followed(told: Told, names: Sequence[str]) -> Picture:
    """How much every token tells of every factor."""
    figure = Picture((4 + 0.5 * len(names), 6), layout="constrained")
    for panel, (what, some) in zip(figure.subplots(2, 1), told._asdict().items(), strict=True):
        shown = panel.imshow(some, aspect="auto", vmin=0)
        panel.set(ylabel="token", title=what, xticks=range(len(names)))
        panel.set_xticklabels(names, rotation=45, ha="right")
        figure.colorbar(shown, ax=panel)
    return figure


def against(made: Mapping[str, Run]) -> dict[str, str]:
    """The rate beside none; what else is changed, beside the recipe's way without the rate; the controls, beside the
    recipe's tokens.
    """
    found = dict.fromkeys(CONTROLS, "k 8 tcr 0.02")
    for name in made.keys() - found.keys():
        weighted, *way = name.split(", ")
        plain = weighted.split(" tcr ")[0].split(" slots ")[0] + " tcr 0"
        base = ", ".join([plain, *way])
        if (base := plain if base == name else base) != name:
            found[name] = base
    return {name: found[name] for name in made if name in found}


def rate_distortion(found: Mapping[str, Sequence[Found]]) -> Picture:
    """Error against the number of tokens for each weight of the rate; and the rest against error, as only what is said
    at one error can be compared.
    """
    figure = Picture((15, 8), layout="constrained")
    first, *others = figure.subplots(2, 3).ravel()
    means = {name: over_seeds(runs) for name, runs in found.items()}
    for color, tcr in enumerate(WEIGHTS):
        known = [(k, means[f"k {k} tcr {tcr:g}"]) for k in COUNTS if f"k {k} tcr {tcr:g}" in means]
        errors = [some["error"] for _, some in known]
        spread = [[e.value - e.low for e in errors], [e.high - e.value for e in errors]]
        first.errorbar([k for k, _ in known], [e.value for e in errors], spread, color=f"C{color}", label=f"{tcr:g}")
        for panel, what in zip(others, AGAINST_ERROR, strict=True):
            shown = [(k, some) for k, some in known if what in some]
            panel.plot([s["error"].value for _, s in shown], [s[what].value for _, s in shown], "o-", color=f"C{color}")
            for k, some in shown:
                panel.annotate(str(k), (some["error"].value, some[what].value))
            panel.set(xlabel="error", ylabel=what)
    first.set(xscale="log", xticks=COUNTS, xticklabels=COUNTS, xlabel="tokens", ylabel="error of the whole recording")
    first.legend(title="weight of the rate")
    return figure


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
            drawn = pages(model, Encoded(model.towers, batch[:1], 0), run)
            pictures |= {f"{what} {name}": page for what, page in drawn.items()}
            some = {split: embed(model, examined.task.folder, examined.splits[split], run) for split in TOLD}
            pictures[f"factors {name}"] = followed(told_by(some, examined.splits), examined.names)
    found |= landmarks(examined, examined.task, base, claim, of_labels)
    write(claim, "Fingerprint tokens", all_sized(made, claim), found, pictures, against(made))


if __name__ == "__main__":
    main(tyro.cli(Claim, description=__doc__))
