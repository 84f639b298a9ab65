"""What the arms are; that they train and are examined is seen by running the tool."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY

from ecgfm.evaluate.examine import METRICS, Found
from ecgfm.run import describe, differences

sys.path.append(str(REPOSITORY / "tools"))

import claim_dbeta as tool  # pyright: ignore[reportMissingImports]


def test_arms_differ_in_what_their_names_say():
    options = tool.Options("try@1", Path("work"), steps=10, batch=8, heads=2)
    recipes = {arm: describe(tool.recipe(options, arm, 1, "t5")) for arm in tool.ARMS}
    changed = {
        arm: {line.partition(":")[0] for line in differences(recipes["dbeta"], recipe)}
        for arm, recipe in recipes.items()
    }
    assert changed["shuffled"] == set()
    assert changed["random-reports"] == {"negatives.high"}
    assert "negatives.is" in changed["farthest"]
    assert all(name.startswith("negatives") for name in changed["farthest"])
    assert changed["heavy-masks"] == {"objectives.dbeta.leads", "objectives.dbeta.tokens"}
    assert changed["no-ets"] == {"objectives.dbeta.terms.ets"}
    assert changed["no-match"] == {"objectives.dbeta.terms.etm", "objectives.dbeta.far"}
    assert {"objectives.dbeta.published_ets", "towers.position", "negatives.is"} <= changed["paper"]
    shared = ("batch", "steps", "seed", "frame", "words", "towers.heads", "towers.text.name", "optimizer.rates")
    assert not {name for names in changed.values() for name in names if name.startswith(shared)}


def found(value: float, seed: int) -> Found:
    draws = value + np.r_[[[0.0, 0.0]], np.random.default_rng(seed).normal(0, 0.05, (100, 2))]
    return {way: dict.fromkeys(METRICS, (draws,)) for way in ("zero-shot", "probe 100 %")}


def test_arms_are_compared_on_the_same_draws():
    ours, theirs = [[found(value + less, 0) for value in (0.8, 0.82, 0.81)] for less in (0, -0.1)]
    row = tool.compared(ours, theirs)["zero-shot"]
    assert row["auc"]["value"] == pytest.approx(0.71)
    assert row["dbeta is better by"]["low"] == pytest.approx(0.1)  # what chance gives to both goes away
    assert row["dbeta is better by"]["high"] == pytest.approx(0.1)


def test_what_was_found_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    examine: Callable = lambda *given: calls.append("examined") or found(0.7, 3)  # noqa: E731
    monkeypatch.setattr(tool, "examine", examine)
    monkeypatch.setattr(tool, "Vectors", lambda towers: towers)
    kept = [tool._kept(tmp_path / "run@1", "abc", lambda: None, None, None) for _ in range(2)]
    assert calls == ["examined"]
    with pytest.raises(ValueError, match="figures of another run: remove it"):
        tool._kept(tmp_path / "run@1", "abd", lambda: None, None, None)
    for result in kept:
        assert result.keys() == {"zero-shot", "probe 100 %"}
        np.testing.assert_array_equal(result["zero-shot"]["auc"][0], found(0.7, 3)["zero-shot"]["auc"][0])
