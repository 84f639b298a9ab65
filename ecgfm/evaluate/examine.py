"""One model, one task: zero-shot and probes, every figure for every draw of subjects and every label."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Float64

from ecgfm.evaluate import metrics, probe, zeroshot
from ecgfm.evaluate.embed import Vectors
from ecgfm.evaluate.metrics import Weights
from ecgfm.evaluate.tasks import Cohort, Examined

METRICS = ("auc", "average precision", "f1")

# way ("zero-shot", "probe 1 %", ...) -> metric -> one array per seed of the probe; labels without a prompt are nan
Found = Mapping[str, Mapping[str, tuple[Float64[np.ndarray, "m k"], ...]]]


def examine(model: Vectors, examined: Examined, weights: Weights) -> Found:
    """`weights` are over the test records (metrics.resample). A model that met no reports is probed only."""
    return {**zero_shot(model, examined, weights), **probes(model, examined, weights)}


def zero_shot(model: Vectors, examined: Examined, weights: Weights) -> Found:
    """Nothing where no report was laid beside what embeds, or nobody has written prompts for these labels."""
    prompts = zeroshot.prompts(examined.task)
    if not prompts.wordings.keys() & {*examined.names} or not zeroshot.reads(model.embedder):
        return {}
    cohorts = [examined.splits[split] for split in ("valid", "test")]
    valid, test = (
        zeroshot.scores(model.embedder, model.of(examined.task.folder, cohort.record), examined.names, prompts)
        for cohort in cohorts
    )
    return {"zero-shot": _together([figures(valid, cohorts[0].labels, test, cohorts[1].labels, weights)])}


def probes(model: Vectors, examined: Examined, weights: Weights) -> Found:
    vectors = {split: model.of(examined.task.folder, cohort.record) for split, cohort in examined.splits.items()}
    return probed(vectors, examined.splits, weights)


def probed(
    vectors: Mapping[str, probe.Vectors],
    splits: Mapping[str, Cohort],
    weights: Weights,
    shares: Mapping[float, int] = probe.SHARES,
) -> Found:
    """`vectors` of each split's records, whatever made them."""
    found, known, truth = {}, splits["valid"].labels, splits["test"].labels
    train, valid, test = probe.standardised(vectors["train"], vectors["valid"], vectors["test"])
    for share, seeds in shares.items():
        made = []
        for seed in range(seeds):
            rows = probe.few(splits["train"].labels, share, seed)
            scores = probe.probe(train[rows], splits["train"].labels[rows], valid, known, test)
            made.append(figures(scores.valid, known, scores.test, truth, weights))
        found[f"probe {share:.0%}".replace("%", " %")] = _together(made)
    return found


def figures(
    valid: Float[np.ndarray, "v k"],
    known: Bool[np.ndarray, "v k"],
    test: Float[np.ndarray, "n k"],
    truth: Bool[np.ndarray, "n k"],
    weights: Weights,
) -> dict[str, Float64[np.ndarray, "m k"]]:
    """On the test records; the thresholds of F1 come from the validation records."""
    decided = test >= metrics.thresholds(valid, known)
    made = (
        metrics.auc(test, truth, weights),
        metrics.average_precision(test, truth, weights),
        metrics.f1(decided, truth, weights),
    )
    unknown = np.isnan(test).any(0)
    return {name: np.where(unknown, np.nan, array) for name, array in zip(METRICS, made, strict=True)}


def _together(seeds: list[dict[str, np.ndarray]]) -> dict[str, tuple[np.ndarray, ...]]:
    return {name: tuple(found[name] for found in seeds) for name in METRICS}
