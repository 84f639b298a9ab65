"""The claim's own logic: arms that differ in weights only, and a control that no rank can save."""

import sys

import numpy as np
import pytest
from conftest import REPOSITORY

from ecgfm import recipes
from ecgfm.evaluate.tasks import Cohort
from ecgfm.objectives import dense

sys.path.append(str(REPOSITORY / "tools"))

from claim_dense import arms, examine, random_features  # pyright: ignore[reportMissingImports]

PEOPLE, WIDTH = 400, 24


def cohort() -> tuple[Cohort, np.ndarray]:
    """Everybody comes twice; what two findings follow lasts, and is one direction each."""
    random = np.random.default_rng(0)
    lasting = random.normal(size=(PEOPLE, WIDTH))
    vectors = np.concatenate([lasting + 0.3 * random.normal(size=lasting.shape) for _ in range(2)])
    labels = np.tile(lasting[:, :2] > 0.5, (2, 1))
    subject = np.tile(np.arange(PEOPLE), 2)
    return Cohort(np.arange(2 * PEOPLE), subject, labels), vectors.astype(np.float32)


def test_arms_differ_in_weights_only() -> None:
    made = arms(recipes.find(["merit_tiny"]), weight=0.5)
    assert next(iter(made)) == "merit"
    assert {config.columns for run in made.values() if (config := run.objectives["dense"])} == {("visits",)}
    shares = {name: dict(run.objectives["dense"].terms) for name, run in made.items()}
    assert shares["merit"] == dict.fromkeys(dense.TERMS, 0.0)
    assert shares["merit + consistency"] == {"balance": 0.0, "orthogonality": 0.0, "consistency": 0.5}
    assert shares["merit + all"] == shares["dense alone"] == dict.fromkeys(dense.TERMS, 0.5)
    assert {name for name, run in made.items() if "merit" not in run.objectives} == {"dense alone"}


def test_rank_alone_proves_nothing() -> None:
    held, vectors = cohort()
    found, noise = examine(vectors, held), examine(random_features(len(vectors), WIDTH, seed=1), held)
    assert noise["effective_rank"][0] > 0.97 * WIDTH
    assert noise["probe, AUC"][0] == pytest.approx(0.5, abs=0.06)
    assert found["probe, AUC"][0] > 0.95
    assert found["drift / strangers"][0] < 0.5 < 0.8 < noise["drift / strangers"][0]


def test_the_shape_of_a_spectrum_moves_no_whitened_drift() -> None:
    held, vectors = cohort()
    steep = vectors * np.geomspace(1, 0.03, WIDTH).astype(np.float32)
    plain, stretched = examine(vectors, held), examine(steep, held)
    assert stretched["effective_rank"][0] < 0.7 * plain["effective_rank"][0]
    assert abs(stretched["drift"][0] - plain["drift"][0]) > 0.05
    for name in ("drift, whitened", "strangers, whitened", "drift / strangers, whitened"):
        assert stretched[name] == pytest.approx(plain[name], abs=1e-3)
