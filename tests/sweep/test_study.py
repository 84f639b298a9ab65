"""The sum of a sweep, from runs' folders as training leaves them."""

import json
from pathlib import Path

import pytest

from ecgfm import recipes
from ecgfm.data.storage import Folder
from ecgfm.run import Resources, Run, override
from ecgfm.sweep import study
from ecgfm.sweep.search import needs
from ecgfm.sweep.space import Axis, Range, Trial, axes, trials
from ecgfm.sweep.study import Outcome, State

COUNT, TCR, LOSS = "objectives.fingerprint.pool.count", "objectives.fingerprint.terms.tcr", "held-out/loss"


@pytest.fixture(scope="module")
def run() -> Run:
    return recipes.find(["fingerprint_tiny"])


def ended(trial: Trial, state: State, loss: float | None, step: int = 20, reason: str = "") -> Outcome:
    return Outcome(trial, state, step, {LOSS: loss, "geometry/rank": 2.0}, reason)


def test_means_and_deviations_are_over_the_seeds_that_finished(run: Run, tmp_path: Path) -> None:
    over = axes(run, [f"{COUNT}=1,8"])
    asked = trials(run, over, seeds=3)
    found = [ended(trial, "finished", loss) for trial, loss in zip(asked[:4], (1.0, 2.0, 6.0, 0.5), strict=True)]
    found += [ended(asked[4], "failed", 100.0, 5, "no records"), ended(asked[5], "finished", None)]  # None: not finite
    study.write(Folder(str(tmp_path)), over, found, ["geometry/rank"])
    one, eight = json.loads((tmp_path / "sweep.json").read_text())["settings"]
    assert one["figures"][LOSS] == {"mean": 3.0, "deviation": pytest.approx(7**0.5), "seeds": 3}
    assert eight["figures"][LOSS] == {"mean": 0.5, "deviation": None, "seeds": 1}
    assert (eight["trials"], eight["finished"], eight["failed"]) == (3, 2, 1)
    said = (tmp_path / "sweep.md").read_text()
    assert "| 1 | 3 ± 2.6 | 2 ± 0 | 3 of 3 | 0 | 0 |" in said
    assert "| 8 | 0.5 | 2 ± 0 | 2 of 3 | 0 | 1 |" in said
    assert "The lowest mean of held-out/loss: count = 8." in said
    assert "105 steps were made, 5 of them in trials that failed" in said
    assert "- count=8,seed=1@1: failed after step 5: no records" in said


def test_the_best_is_the_highest_where_the_recipe_says_so(run: Run, tmp_path: Path) -> None:
    up = override(run, {"cadence.best_is": "highest"})
    over = axes(up, [f"{COUNT}=1,8"])
    found = [ended(t, "finished", loss) for t, loss in zip(trials(up, over), (3.0, 0.5), strict=True)]
    study.write(Folder(str(tmp_path)), over, found, ["geometry/rnk"])
    said = (tmp_path / "sweep.md").read_text()
    assert "The highest mean of held-out/loss: count = 1." in said
    assert "no watcher finds 'geometry/rnk': there are held-out/loss, geometry/rank" in said


def test_no_setting_is_the_best_by_a_loss_that_changes_its_meaning(run: Run, tmp_path: Path) -> None:
    over = axes(run, [f"{TCR}=0,0.02"])
    for best, wins in ((LOSS, False), ("geometry/rank", True)):
        asked = trials(override(run, {"cadence.best": best}), over)
        found = [ended(trial, "finished", loss) for trial, loss in zip(asked, (1.0, 2.0), strict=True)]
        study.write(Folder(str(tmp_path)), over, found, [])
        said = (tmp_path / "sweep.md").read_text()
        assert (f"The lowest mean of {best}: tcr = " in said) == wins
        assert (f"No setting is named the best: {best} means something else for every value of {TCR}" in said) != wins


def test_the_picture_has_a_line_for_each_value_of_the_second_field(run: Run) -> None:
    over = axes(run, [f"{COUNT}=8,1", f"{TCR}=0,0.02"])
    asked = trials(run, over, seeds=2)
    found = [ended(trial, "finished", float(number)) for number, trial in enumerate(asked)]
    figure = study.picture(over, found, study.summed(found, [LOSS, "geometry/rank"]), [LOSS, "geometry/rank"])
    loss, rank = figure.axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["tcr 0", "tcr 0.02"]  # type: ignore[union-attr]
    first, second = (container[0].get_xydata().tolist() for container in loss.containers)  # type: ignore[union-attr]
    assert first == [[0, 0.5], [1, 4.5]]
    assert second == [[0, 2.5], [1, 6.5]]
    assert [tick.get_text() for tick in loss.get_xticklabels()] == ["8", "1"]
    assert (loss.get_ylabel(), rank.get_ylabel()) == (LOSS, "geometry/rank")


def test_what_was_drawn_is_drawn_as_points_against_each_field(run: Run) -> None:
    over = [Axis(TCR, Range(0.001, 1.0)), Axis(COUNT, (1, 8))]
    asked = trials(run, over, count=4)
    states: tuple[State, ...] = ("finished", "finished", "stopped", "failed")
    found = [ended(trial, state, 1.0) for trial, state in zip(asked, states, strict=True)]
    tcr, count = study.picture(over, found, study.summed(found, [LOSS]), [LOSS]).axes
    finished, stopped = (dots.get_offsets() for dots in tcr.collections)
    assert [x for x, _ in finished.tolist()] == [asked[0].setting[TCR], asked[1].setting[TCR]]  # type: ignore[union-attr]
    assert len(stopped) == 1  # type: ignore[arg-type]
    assert tcr.get_xscale() == "log"
    assert [tick.get_text() for tick in count.get_xticklabels()] == ["1", "8"]


def test_a_trial_stands_where_its_folder_says(run: Run, tmp_path: Path) -> None:
    (trial,) = trials(run, axes(run, [f"{COUNT}=4"]))
    sweep = str(tmp_path)
    assert study.outcome(sweep, trial, {}) == Outcome(trial, "unfinished", 0, {})
    rows = [{"step": 9, LOSS: 3.0}, {"step": 10, LOSS: 2.0, "geometry/rank": 4.0}, {"step": 12, "loss": 1.0}]
    folder = study.inside(sweep, trial.name)
    folder.write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    assert study.outcome(sweep, trial, {trial.name: ("stopped", "others")}) == Outcome(
        trial, "stopped", 12, {LOSS: 2.0, "geometry/rank": 4.0}, "others"
    )
    folder.write("checkpoints/00000020/manifest.json", b"{}")
    assert not study.is_finished(folder, trial)  # killed before its towers were written
    folder.write("towers.safetensors", b"")
    assert study.outcome(sweep, trial, {trial.name: ("stopped", "others")}).state == "finished"


def test_only_what_was_given_up_is_remembered(run: Run, tmp_path: Path) -> None:
    over = axes(run, [f"{COUNT}=1,2,4"])
    states: tuple[State, ...] = ("stopped", "failed", "finished")
    found = [ended(t, s, 1.0, reason="why") for t, s in zip(trials(run, over), states, strict=True)]
    assert study.stopped(Folder(str(tmp_path))) == {}
    study.write(Folder(str(tmp_path)), over, found, [])
    assert study.stopped(Folder(str(tmp_path))) == {"count=1,seed=0@1": ("stopped", "why")}


def test_a_trial_in_an_object_store_lies_below_the_sweep() -> None:
    assert study.inside("s3://bucket/k/?region=x", "a@1").uri == "s3://bucket/k/a@1?region=x"


def test_a_cluster_that_is_too_small_for_one_trial_is_refused() -> None:
    asked = Resources(trainer_cpus=1.0)
    assert needs(asked, 0.25, {"CPU": 2}) == ("cpu", {"CPU": 1.0})
    assert needs(asked, 0.25, {"CPU": 2, "GPU": 1}) == ("cuda", {"CPU": 1.0, "GPU": 0.25})
    with pytest.raises(ValueError, match=r"has 0\.5 logical CPUs, and a trial needs 1"):
        needs(asked, 1.0, {"CPU": 0.5})
    with pytest.raises(ValueError, match="has 1 logical GPUs, and a trial needs 2"):
        needs(asked, 2.0, {"CPU": 2, "GPU": 1})
