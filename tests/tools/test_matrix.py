import json
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

sys.path.append(str(REPOSITORY / "tools"))
from matrix import farthest, hold
from record import write

pytestmark = pytest.mark.ray

RECIPES = ("together_tiny", "merit_tiny", "crossl_tiny")  # all five methods; the other recipes by tools/matrix.py


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_processes_and_kills_change_nothing(recipe: str, tiny_words: list[str], tmp_path: Path) -> None:
    row = hold(recipe, tiny_words, tmp_path, kills=1)
    assert (row["kills of one"], row["kills of two"]) == (1, 1)
    assert 0 < row["one against two"] < 2e-3  # not 0: two processes add in another order


def test_how_far_curves_are_apart() -> None:
    one = [{"step": step, "loss": 4.0 / step, "zero": 0.0} for step in (1, 2, 4)]
    assert farthest(one, one) == 0
    assert farthest(one, [*one[:2], {"step": 4, "loss": 1.5, "zero": 0.0}]) == 0.5 / 4


def test_a_record_is_for_programs_and_for_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tools/matrix.py", "--kills", "2"])
    write(tmp_path / "x@1", "A title", "This is so", [{"recipe": "a", "apart": 0.00123}], seed=3)
    held = json.loads((tmp_path / "x@1" / "record.json").read_text())
    assert (held["command"], held["rows"], held["seed"]) == (
        "python tools/matrix.py --kills 2",
        [{"recipe": "a", "apart": 0.00123}],
        3,
    )
    assert {"git", "versions", "hardware"} <= held.keys()
    page = (tmp_path / "x@1" / "record.md").read_text()
    assert page.startswith("# A title\n\nThis is so.\n\n| recipe | apart |\n| --- | --- |\n| a | 0.0012 |\n")
    assert "    python tools/matrix.py --kills 2\n" in page
