"""The curves of the tiny recipes are those that were frozen: a change that should not move them does not."""

import json
import sys

import pytest
from conftest import REPOSITORY

sys.path.append(str(REPOSITORY / "tools"))
from record_golden import GOLDEN, moved, train
from tiny import RECIPES

pytestmark = pytest.mark.ray


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_curve_is_the_golden_one(recipe: str, tiny_words: list[str]) -> None:
    found = train(recipe, tiny_words)
    assert train(recipe, tiny_words) == found, "two runs on one machine differ"
    record = f"python tools/record_golden.py {recipe}"
    assert (GOLDEN / f"{recipe}.json").exists(), f"the recipe has no golden curve yet: {record}"
    changes = moved(json.loads((GOLDEN / f"{recipe}.json").read_text()), found)
    assert not changes, f"if the curve was meant to move, {record}, and say why in the commit"


def test_a_curve_that_moved_is_told() -> None:
    golden = [{"step": step, "loss": 2.0 / step, "x/term": -1e-3} for step in range(1, 5)]
    assert moved(golden, [{**row, "loss": row["loss"] + 1.9e-4} for row in golden]) == []
    changed = [{**row, "loss": row["loss"] + 1e-4 * row["step"]} for row in golden]
    assert moved(golden, changed) == [f"loss at step 4: 0.5 -> {0.5 + 4e-4}"]
    assert moved(golden, [{**row, "x/term": None if row["step"] == 3 else -1e-3} for row in golden]) == [
        "x/term at step 3: -0.001 -> None"
    ]
    assert moved(golden, golden[:3]) == moved(golden, [{"step": 1}] * 4) == ["the rows hold other figures"]


def test_every_golden_curve_has_a_recipe() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == {*RECIPES}
