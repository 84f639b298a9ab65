"""What claims have in common: pairs of seeds, figures that belong to their run, and the page."""

import json
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import REPOSITORY

from ecgfm import recipes
from ecgfm.data.shards import Manifest
from ecgfm.data.storage import Folder
from ecgfm.run import Run, override
from ecgfm.train.pretraining import Pretraining

sys.path.append(str(REPOSITORY / "tools"))

from claim_page import _tables, less, over_seeds  # pyright: ignore[reportMissingImports]
from claims import (  # pyright: ignore[reportMissingImports]
    _FOUND,
    Found,
    Setting,
    _known,
    _of,
    home_of,
    restored,
    sized,
    train_all,
)

DRAWS = [0.8, 0.7, 0.9, 0.8]  # the value, and what it would be with other subjects


def test_arms_are_compared_seed_by_seed_on_the_same_draws() -> None:
    """What subjects and seeds give to both goes away, also where it is much more than the difference."""
    theirs = [{"auc": [v + seed for v in DRAWS], "error": [0.5 * seed], "alone": [1.0]} for seed in range(3)]
    ours = [{"auc": [v + 0.1 for v in run["auc"]], "error": [run["error"][0] - 0.2]} for run in theirs]
    above = less(ours, theirs)
    assert above.keys() == {"auc", "error"}
    assert (above["auc"].value, above["auc"].low, above["auc"].high) == pytest.approx((0.1, 0.1, 0.1))
    assert (above["error"].value, above["error"].high) == pytest.approx((-0.2, -0.2))
    assert over_seeds(ours)["auc"].high - over_seeds(ours)["auc"].low > 1
    with pytest.raises(ValueError, match="shorter"):
        less(ours, theirs[:2])


def test_figures_of_another_run_are_refused(tmp_path: Path) -> None:
    where, home = tmp_path / "shards", Folder(str(tmp_path / "home"))
    manifest = Manifest("made-up", "", 8, 1, 0, (), {})
    Folder(str(where)).write("manifest.json", manifest.json())
    run = recipes.find(["fingerprint_tiny"])
    assert _known(home, run, str(where)) is None
    home.write(_FOUND, json.dumps({**_of(run, str(where)), "found": {"auc": DRAWS}}).encode())
    assert _known(home, run, str(where)) == {"auc": DRAWS}
    with pytest.raises(ValueError, match=r"another run \(recipe\.steps: 20 -> 21\): remove it, or rename --to"):
        _known(home, override(run, {"steps": 21}), str(where))
    Folder(str(where)).write("manifest.json", replace(manifest, subjects=2).json())
    with pytest.raises(ValueError, match=r"another run \(shards: "):
        _known(home, run, str(where))


def test_a_table_names_what_an_arm_is_above() -> None:
    found = {"plain": [{"auc": DRAWS}], "ours": [{"auc": [v + 0.1 for v in DRAWS], "error": [0.5]}], "ruler": [{}]}
    figures = {name: over_seeds(runs) for name, runs in found.items()}
    lines = _tables(figures, {"ours": less(found["ours"], found["plain"])}, {"ours": "plain"})
    auc, error = "\n".join(lines).split("## ")[1:]
    assert auc.splitlines()[:1] + auc.splitlines()[4:6] == [
        "auc",
        "| plain | 0.800 (0.705 to 0.895) |  |  |",
        "| ours | 0.900 (0.805 to 0.995) | plain | 0.100 (0.100 to 0.100) |",
    ]
    assert "| ours | 0.500 (0.500 to 0.500) |  |  |" in error
    assert "plain" not in error
    assert "ruler" not in "".join(lines)


@pytest.mark.ray
@pytest.mark.slow
def test_arms_are_trained_and_examined_once(made_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Real runs; the figures of one that is there are read, an arm that fails is named and left out."""
    where, base = str(made_shards), recipes.find(["fingerprint_tiny"])
    setting = Setting("claim@1", str(tmp_path), steps=4, batch=8, seeds=2, recipe="tiny", device="cpu")
    arms = {"plain": base, "hidden, more": override(base, {"objectives.fingerprint.tokens": 0.75})}
    looked = tmp_path / "looked"
    looked.mkdir()

    def examine(run: Run, model: Pretraining) -> Found:
        assert not model.training
        tempfile.mkstemp(dir=looked)
        return {"share": [run.objectives["fingerprint"].tokens], "seed": [float(run.seed)], "steps": [float(run.steps)]}

    bad = {"bad": override(base, {"optimizer.rates": dict.fromkeys(base.optimizer.rates, 1e38)})}
    few = replace(setting, seeds=1, rate=1e38, to="bad@1")
    assert train_all(bad, few, where, examine) == {}
    assert re.search(r"bad-0 is left out: .*not finite", capsys.readouterr().err)
    longer = {"hidden, more": 6}
    found = train_all(arms, setting, where, examine, longer)
    spent = [one.pop("minutes") for some in found.values() for one in some]
    assert all(0 < minutes < 1 for (minutes,) in spent)
    assert found == {
        "plain": [{"share": [0.6], "seed": [seed], "steps": [4.0]} for seed in (0.0, 1.0)],
        "hidden, more": [{"share": [0.75], "seed": [seed], "steps": [6.0]} for seed in (0.0, 1.0)],
    }
    assert len([*looked.iterdir()]) == 4
    again = train_all(arms, setting, where, examine, longer)
    assert [one.pop("minutes") for some in again.values() for one in some] == spent
    assert again == found
    assert [*train_all(arms, replace(setting, arms=("plain",)), where, examine)] == ["plain"]
    assert len([*looked.iterdir()]) == 4
    assert restored(sized(arms["plain"], setting, 1), home_of(setting, "plain", 1)).towers.config.heads == setting.heads
