"""The command, on towers that nobody has trained: it says so, by exit code 3 or a failed comparison, and never lies."""

import json
from pathlib import Path

import labelled
import pytest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> labelled.Made:
    return labelled.make(tmp_path_factory.mktemp("labelled"))


def evaluate(*words: str) -> int:
    from jobs.evaluate import main

    return main([*words, "--device", "cpu", "--untrained", "2", "--least", "4", "--draws", "50"])


def test_scorecard_of_towers(made: labelled.Made, text_model: str, tmp_path: Path):
    run = labelled.towers(tmp_path, text_model)
    assert evaluate("--run", run, "--shards", made.shards, "--tasks", made.table) == 3
    page, held = (tmp_path / "scorecard.md").read_text(), json.loads((tmp_path / "scorecard.json").read_text())
    (card,) = held["tasks"]
    assert "at step 7" in page
    verdicts = {(c["control"], c["way"]): c["passes"] for c in card["controls"]}
    assert not verdicts["untrained towers", "probe 100 %"]  # what is examined is no better
    assert card["model"].keys() == {"zero-shot", "probe 1 %", "probe 10 %", "probe 100 %"}
    ours = card["geometry"]["model"]
    assert (ours["n"], ours["d"], ours["k"]) == (card["records"]["test"], 128, 1)
    assert 1 < ours["effective_rank"] < ours["n"]
    assert 0 < ours["gap"] < 2
    assert (tmp_path / "spectrum-made-up-factors.png").read_bytes()[:4] == b"\x89PNG"
    assert card["geometry"].keys() == {"model", "untrained towers"}
    assert f"| effective_rank | {ours['effective_rank']:.4g} |" in page
    assert "/" not in card["task"].replace("made-up/factors", "")


def test_wrong_words(made: labelled.Made, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert evaluate("--run", str(tmp_path), "--shards", made.shards) == 1
    assert evaluate("--run", str(tmp_path), "--shards", made.shards, "--tasks", "made_up/findings") == 1
    with pytest.raises(SystemExit) as error:
        evaluate("--rn", str(tmp_path), "--shards", made.shards)
    assert error.value.code == 2
