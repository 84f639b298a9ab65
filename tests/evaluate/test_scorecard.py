import json
from pathlib import Path

import numpy as np
import pytest
from labelled import Made

from ecgfm import draw
from ecgfm.data.storage import Folder
from ecgfm.evaluate import scorecard
from ecgfm.evaluate.examine import METRICS, Found
from ecgfm.evaluate.tasks import Cohort, Examined, Task

NAMES, DRAWS = ("first", "second"), 200


@pytest.fixture
def examined(made: Made) -> Examined:
    cohort = Cohort(np.arange(40), np.arange(40) // 2, np.arange(80).reshape(40, 2) % 3 == 0)
    return Examined(
        Task(made.shards, "findings"),
        NAMES,
        {"train": cohort, "valid": cohort, "test": cohort},
        {"rare": "1 of 40 test records"},
    )


def draws(value: float, seed: int = 0) -> np.ndarray:
    """A figure of both labels, with a little chance in every draw but the first."""
    return value + np.r_[[[0, 0]], draw.generator("draws", seed).normal(0, 0.01, (DRAWS, 2))]


def found(zero_shot: float | None, probe: float, seed: int = 0) -> Found:
    ways = {"zero-shot": zero_shot, "probe 1 %": probe - 0.1, "probe 100 %": probe}
    return {
        way: dict.fromkeys(METRICS, (draws(value, seed),) * (3 if way == "probe 1 %" else 1))
        for way, value in ways.items()
        if value is not None
    }


GEOMETRY = {"model": {"n": 2047, "d": 128, "effective_rank": 31.25}, "untrained towers": {"n": 2047, "alpha": 0.5}}
MARKS = {"floor": draws(0.7), "ruler": draws(0.8), "ceiling": draws(0.9)}


def test_between_the_marks_and_beside_the_controls(examined: Examined, tmp_path: Path):
    controls = {
        "untrained towers": [found(v, 0.6, i) for i, v in enumerate((0.45, 0.56, 0.5))],
        "shuffled reports": [found(v, 0.75, i) for i, v in enumerate((0.66, 0.65, 0.67))],
    }
    card = scorecard.card(examined, MARKS, [found(0.85, 0.74)], controls, GEOMETRY)
    assert card["way"]["zero-shot"] == pytest.approx({"floor": 0.75, "ruler": 0.5})
    assert card["model"]["zero-shot"]["auc"]["value"] == pytest.approx(0.85)
    verdicts = {(c["control"], c["way"]): c["passes"] for c in card["controls"]}
    assert verdicts == {
        ("untrained towers", "zero-shot"): True,
        ("untrained towers", "probe 100 %"): True,
        ("shuffled reports", "zero-shot"): False,
        ("shuffled reports", "probe 100 %"): False,
    }
    assert scorecard.failed([card])[0] == "shuffled reports, zero-shot, made-up/findings"
    scorecard.write(Folder(str(tmp_path)), "Scorecard", [card])
    assert json.loads((tmp_path / "scorecard.json").read_text())["tasks"] == [json.loads(json.dumps(card))]
    page = (tmp_path / "scorecard.md").read_text()
    assert "| **zero-shot** | 0.850 (" in page
    assert "| 75% | 50% |" in page
    assert "- shuffled reports, zero-shot: DOES NOT PASS (0.5 lies in its interval)." in page
    assert "Too rare to be scored: rare (1 of 40 test records)." in page
    rows = [line.count("|") for line in page.splitlines() if line.startswith("|")]
    assert set(rows) == {7, 8, 4}  # by way, by label, and the geometry
    assert "| n | 2047 | 2047 |\n| d | 128 |  |\n| effective_rank | 31.25 |  |\n| alpha |  | 0.5 |" in page


def test_what_cannot_be_examined_is_said(examined: Examined):
    probed = scorecard.card(examined, {"floor": MARKS["floor"], "ruler": MARKS["ruler"]}, [found(None, 0.8)], {}, {})
    page = scorecard.page("Scorecard", [probed])
    assert "Not examined zero-shot" in page
    assert "ceiling" not in page
    half = found(0.8, 0.8)
    half["zero-shot"]["auc"][0][:, 1] = np.nan
    assert "left out of zero-shot: second." in scorecard.page(
        "Scorecard", [scorecard.card(examined, MARKS, [half], {}, {})]
    )


def test_several_runs_are_one_model(examined: Examined):
    runs = [found(v, 0.7) for v in (0.7, 0.8, 0.9)]
    figure = scorecard.card(examined, MARKS, runs, {}, {})["model"]["zero-shot"]["auc"]
    assert figure["value"] == pytest.approx(0.8)
    assert figure["seeds"] == pytest.approx((0.7, 0.8, 0.9))
    assert figure["high"] - figure["low"] > 0.4  # three seeds a tenth apart say little
