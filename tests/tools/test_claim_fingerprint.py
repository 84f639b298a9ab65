"""What the claim makes of tokens, on tokens that are made up."""

import sys

import numpy as np
import pytest
from conftest import REPOSITORY

from ecgfm import recipes
from ecgfm.evaluate.tasks import Cohort
from ecgfm.run import describe, differences

sys.path.append(str(REPOSITORY / "tools"))

from claim_fingerprint import (  # pyright: ignore[reportMissingImports]
    AGAINST_ERROR,
    CONTROLS,
    COUNTS,
    WEIGHTS,
    against,
    arms,
    followed,
    gaps,
    information,
    leading,
    rate_distortion,
    told_by,
)

RECORDS, CHANNELS = {"train": 600, "test": 300}, 5


def made_up() -> tuple[dict[str, np.ndarray], dict[str, Cohort]]:
    """Three tokens: the first follows one factor, the second the other, the third none."""
    random, tokens, splits = np.random.default_rng(0), {}, {}
    for split, size in RECORDS.items():
        factors = random.random((size, 2)).astype(np.float32)
        z = 0.1 * random.normal(size=(size, 3, CHANNELS))
        z[:, 0] += factors[:, :1]
        z[:, 1] -= factors[:, 1:]
        tokens[split], number = z.astype(np.float32), np.arange(size)
        splits[split] = Cohort(number, number, factors > 0.5, factors)
    return tokens, splits


def test_a_token_tells_of_the_factor_that_it_follows() -> None:
    told = told_by(*made_up())
    assert told.r2.shape == told.nats.shape == (3, 2)
    assert told.r2[[0, 1], [0, 1]] == pytest.approx(1, abs=0.05)
    assert told.nats[[0, 1], [0, 1]] == pytest.approx(np.log(2), abs=0.15)  # mild or severe
    for some in told:
        assert some[[0, 1, 2, 2], [1, 0, 0, 1]] == pytest.approx(0, abs=0.05)
    axes = followed(told, ("one", "other")).axes
    assert [axis.get_title() for axis in axes[:2]] == ["r2", "nats"]


def test_information_is_that_of_what_is_known() -> None:
    random = np.random.default_rng(2)
    severe = random.choice([0.0, 0.4, 0.9], 20_000, p=[0.5, 0.3, 0.2])
    entropy = -sum(p * np.log(p) for p in (0.5, 0.3, 0.2))
    assert information(severe + 1e-6 * random.random(20_000), severe) == pytest.approx(entropy, abs=0.03)
    assert information(random.random(20_000), severe) == pytest.approx(0, abs=0.001)
    chance = [information(random.random(100), severe[:100]) for _ in range(200)]
    assert np.mean(chance) < 0.06  # 0.09 of 18 / 200 would be found without the correction
    assert information(random.random(100), np.zeros(100)) == pytest.approx(0)


def test_a_rotation_of_the_tokens_takes_the_gap_away() -> None:
    tokens, splits = made_up()
    found = gaps(tokens, splits)
    assert found["r2 of the best token"][0] > 0.95
    assert found["gap of r2"][0] > 0.9
    assert found["gap of r2, tokens mixed"][0] < 0.6
    alone = gaps({split: z[:, :1] for split, z in tokens.items()}, splits)
    assert alone.keys() == {"r2 of the best token", "nats of the best token"}
    assert alone["r2 of the best token"][0] == pytest.approx(0.5, abs=0.05)  # of one factor all, of the other nothing


def test_leading_components_are_the_training_records_own() -> None:
    random = np.random.default_rng(1)
    turn, _ = np.linalg.qr(random.normal(size=(6, 6)))
    scale = np.array([9, 5, 0.1, 0.1, 0.1, 0.1])
    vectors = {
        split: (random.normal(size=(size, 6)) * scale @ turn + 3).astype(np.float32) for split, size in RECORDS.items()
    }
    found = leading(vectors, 2)
    assert {split: z.shape for split, z in found.items()} == {"train": (600, 2), "test": (300, 2)}
    train = found["train"].astype(np.float64)
    assert train.mean(0) == pytest.approx(0, abs=1e-4)
    assert np.sort(train.std(0)) == pytest.approx([5, 9], rel=0.1)
    assert np.corrcoef(train.T)[0, 1] == pytest.approx(0, abs=1e-4)
    assert np.sort(found["test"].std(0)) == pytest.approx([5, 9], rel=0.15)


def test_every_arm_stands_beside_one_that_differs_in_what_its_name_says() -> None:
    base = recipes.find(["fingerprint_tiny"])
    made = arms(base)
    beside = against(made)
    assert {*beside.values()} <= {*made}
    assert {*made} - {*beside} == {f"k {count} tcr 0" for count in COUNTS}
    changed = {" slots ": "terms.slots", " tcr 0, own": "pool.residual", " tcr 0, from": "pool.local"}
    for name, other in beside.items():
        ours, theirs = (describe(made[arm])["objectives"]["fingerprint"] for arm in (name, other))
        differing = {where.split(":")[0] for where in differences(ours, theirs)}
        if name not in CONTROLS:
            asked = next((field for part, field in changed.items() if part in name), "terms.tcr")
            assert differing == {asked}, name
        else:
            assert all(where.startswith(("pool", "terms.tcr")) for where in differing), name
    recipe = base.objectives["fingerprint"]
    assert {run.objectives["fingerprint"].tokens for run in made.values()} == {recipe.tokens}


def test_the_picture_is_drawn_of_whatever_arms_there_are() -> None:
    names = ("error", *AGAINST_ERROR)
    made = [(count, tcr) for count in (1, 8) for tcr in WEIGHTS]
    some = {f"k {count} tcr {tcr:g}": [{name: [1 / count + tcr] for name in names}] * 2 for count, tcr in made}
    some["mean"] = [{"error": [0.5]}]
    for count in (1, 8):
        some[f"k {count} tcr 0"] = [{"error": [0.5, 0.4, 0.6]}]  # one token has no CKA
    first, *others = rate_distortion(some).axes
    assert len(first.containers) == len(WEIGHTS)
    assert len(others) == len(AGAINST_ERROR)
    assert [len(panel.texts) for panel in others] == [2 * (len(WEIGHTS) - 1)] * len(AGAINST_ERROR)
    rate_distortion({"k 8 tcr 0": some["k 8 tcr 0"]})
