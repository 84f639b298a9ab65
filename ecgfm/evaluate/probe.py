"""What a linear map finds in the vectors: logistic regression, with few labels and with all.

Vectors are standardised by all training records, as only labels are few. The strength of the penalty, one for all
labels, is chosen on the validation records; the test records are looked at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor
from torch.nn import functional

from ecgfm import draw
from ecgfm.evaluate.metrics import auc, macro

SHARES = {0.01: 3, 0.1: 3, 1.0: 1}  # of the labels -> seeds; with all of them nothing is drawn
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the penalty, against the mean loss of a record
_ITERATIONS = 200
_HISTORY = 20  # steps that L-BFGS remembers: torch's 100 take half of the time and come no nearer
_FLAT = 1e-6  # a channel that varies by less is constant

Vectors = Float[np.ndarray, "_ d"]


class Scores(NamedTuple):
    valid: Float32[np.ndarray, "v k"]
    test: Float32[np.ndarray, "t k"]


def probe(
    train: Vectors, labels: Bool[np.ndarray, "n k"], valid: Vectors, known: Bool[np.ndarray, "v k"], test: Vectors
) -> Scores:
    """Log-odds of the validation and test records, by the strength that serves the validation records best."""
    found = [Scores(predict(valid, maps), predict(test, maps)) for maps in fit(train, labels, STRENGTHS)]
    once = np.ones((len(known), 1), np.float32)
    return max(found, key=lambda scores: macro(auc(scores.valid, known, once))[0])


def standardised(train: Vectors, *others: Vectors) -> tuple[Vectors, ...]:
    middle, spread = train.mean(0), train.std(0)
    return tuple((x - middle) / np.where(spread > _FLAT, spread, 1) for x in (train, *others))


def fit(
    vectors: Vectors, labels: Bool[np.ndarray, "n k"], strengths: Sequence[float]
) -> Float32[np.ndarray, "s d+1 k"]:
    """For every strength and label the map that makes mean loss + strength / 2 * |map|^2 least; its last row is free.

    The labels are one problem to L-BFGS: two matrix products a step, whatever their number. Strengths follow one
    another, the strongest first, each from where the last one ended: together they would share steps that the weak
    ones need smaller.
    """
    x, y = _widened(vectors), torch.from_numpy(labels).float()
    maps, found = torch.zeros(x.shape[1], y.shape[1]), {}
    for strength in sorted(strengths, reverse=True):
        found[strength] = maps = _least(x, y, strength, maps)
    return torch.stack([found[strength] for strength in strengths]).numpy()


def _least(x: Float[Tensor, "n e"], y: Float[Tensor, "n k"], strength: float, start: Float[Tensor, "e k"]) -> Tensor:
    maps = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [maps],
        max_iter=_ITERATIONS,
        history_size=_HISTORY,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        errors = functional.binary_cross_entropy_with_logits(x @ maps, y, reduction="none")
        total = errors.mean(0).sum() + strength / 2 * maps[:-1].square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    return maps.detach()


def predict(vectors: Vectors, maps: Float32[np.ndarray, "e k"]) -> Float32[np.ndarray, "_ k"]:
    return (_widened(vectors) @ torch.from_numpy(maps)).numpy()


def _widened(vectors: Vectors) -> torch.Tensor:
    return functional.pad(torch.from_numpy(vectors).float(), (0, 1), value=1.0)


def few(labels: Bool[np.ndarray, "n k"], share: float, seed: int) -> Int64[np.ndarray, "_"]:
    """Records of which each label is said in its `share`, and at least once; the rarest labels choose first.

    What is left to fill is taken from records without any label, and then from all.
    """
    random = draw.generator("few", seed, round(share * 1e6))
    order, chosen = random.permutation(len(labels)), np.zeros(len(labels), bool)
    for label in np.argsort(labels.sum(0), kind="stable"):
        has = labels[:, label]
        wanted = max(1, round(share * has.sum())) - (has & chosen).sum()
        chosen[order[(has & ~chosen)[order]][: max(0, wanted)]] = True
    for pool in (~labels.any(1), np.ones(len(labels), bool)):
        wanted = round(share * len(labels)) - chosen.sum()
        chosen[order[(pool & ~chosen)[order]][: max(0, wanted)]] = True
    return np.flatnonzero(chosen)


def quick(
    vectors: Vectors, labels: Bool[np.ndarray, "n k"], subject: Int64[np.ndarray, "n"], strength: float = 0.1
) -> Float[np.ndarray, "n k"]:
    """Scores by ridge regression in closed form: each half of the subjects is scored by a map made of the other."""
    (x,) = standardised(vectors.astype(np.float64))
    first = np.unique(subject, return_inverse=True)[1] % 2 == 0
    scores = np.empty(labels.shape)
    for half in (first, ~first):
        a, b = x[half], labels[half] - labels[half].mean(0)
        maps = np.linalg.solve(a.T @ a + strength * len(a) * np.eye(a.shape[1]), a.T @ b)
        scores[~half] = x[~half] @ maps
    return scores
