"""What the claim makes of vectors and figures, on ones that are made up."""

import sys

import numpy as np
import pytest
from conftest import REPOSITORY

from ecgfm import recipes
from ecgfm.evaluate import metrics
from ecgfm.evaluate.tasks import Cohort
from ecgfm.run import describe, differences

sys.path.append(str(REPOSITORY / "tools"))

from claim_crossl import FALL, KEEPS, LEFT, against, arms, falls, lost, subsets  # pyright: ignore[reportMissingImports]

RECORDS = 200


def test_every_arm_stands_beside_one_that_differs_in_what_its_name_says() -> None:
    made = arms(recipes.find(["crossl_tiny"]))
    beside = against(made)
    assert {*made} - {*beside} == {"spatial, keep 1", "pulse, keep 1"}
    assert {*beside.values()} <= {*made}
    changed = {
        name: {
            line.partition(":")[0].rpartition(".")[2]
            for line in differences(describe(made[base]), describe(made[name]))
        }
        for name, base in beside.items()
    }
    for name, fields in changed.items():
        kind = "own" if name == "own encoders, keep 1" else name.split(",")[0]
        plain = dict.fromkeys(("spatial", "pulse", "own encoders"), "keep")
        assert fields == {(plain | {"leads": "groups", "own": "own"}).get(kind, "masking")}, name


def test_what_is_lost_where_something_is_missing() -> None:
    """The vector tells the label by two channels; one subset lacks both, and one lacks one."""
    random, splits, vectors = np.random.default_rng(0), {}, {}
    for split in ("train", "valid", "test"):
        number, z = np.arange(RECORDS), random.normal(size=(RECORDS, 4)).astype(np.float32)
        splits[split] = Cohort(number, number, (z[:, :1] + z[:, 1:2] > 0) != (random.random((RECORDS, 1)) < 0.02))
        vectors[split] = z
    whole = vectors.pop("test")
    tests = {"whole": whole, "half": whole * [1, 0, 1, 1], "none": np.zeros_like(whole)}
    found = lost(
        vectors,
        {name: z.astype(np.float32) for name, z in tests.items()},
        splits,
        metrics.resample(np.arange(RECORDS), 9),
    )
    assert all(len(drawn) == 10 for drawn in found.values())
    value = {name: drawn[0] for name, drawn in found.items()}
    assert value["AUC, whole"] > 0.95
    assert 0.6 < value["AUC, half"] < 0.95
    assert value["AUC, none"] == value["AUC, worst subset"] == 0.5
    assert value[LEFT] == pytest.approx((value["AUC, half"] + 0.5) / 2)
    assert value[FALL] == pytest.approx(value["AUC, whole"] - value[LEFT])


def test_the_picture_is_drawn_of_whatever_arms_there_are() -> None:
    def found(kinds: tuple[str, ...]) -> list[dict[str, list[float]]]:
        return [{name: [0.8, 0.7, 0.9] for name in (LEFT, *(f"AUC, {s}" for s in subsets(kinds)))}] * 2

    made = {f"spatial, keep {keep:g}": found(()) for keep in KEEPS[-2:]}
    left, middle, right = falls(made | {"pulse, keep 1": found(("ppg",))}).axes
    assert [len(panel.lines) for panel in (left, middle, right)] == [2, 1, 2]
    assert [line.get_xdata().tolist() for line in right.lines] == [[0.9, 1.0]] * 2
