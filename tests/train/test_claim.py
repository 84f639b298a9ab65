import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from toy import RUN

from ecgfm.data.storage import Folder
from ecgfm.objectives import find
from ecgfm.run import Cadence, Resources, override
from ecgfm.train import claim
from ecgfm.train.claim import record, same_data, same_run, tree
from ecgfm.train.lock import ClaimedError

INPUTS = {"shards of some": "abc", "words": "def"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(str(tmp_path))
    record(folder, RUN, INPUTS, Resources(), 0, "")
    return folder


def test_another_recipe_is_refused_with_what_differs(folder: Folder) -> None:
    other = override(RUN, {"batch": 16, "optimizer.rates.ecg": 0.5})
    with pytest.raises(ClaimedError, match=r"batch: 8 -> 16; recipe\.optimizer\.rates\.ecg: 0\.01 -> 0\.5"):
        same_run(folder, other, INPUTS)
    with pytest.raises(ClaimedError, match="shards of some: abc -> abd"):
        same_run(folder, RUN, INPUTS | {"shards of some": "abd"})


def test_how_often_a_run_is_saved_may_change(folder: Folder) -> None:
    same_run(folder, RUN, INPUTS)
    same_run(folder, replace(RUN, cadence=Cadence(save=7)), INPUTS)
    same_run(Folder(folder.path("elsewhere")), RUN, INPUTS)  # nothing is there
    before = json.loads(folder.read("run.json"))["identity"]
    record(folder, replace(RUN, cadence=Cadence(save=7)), INPUTS, Resources(), 0, "")
    assert json.loads(folder.read("run.json"))["identity"] == before


def test_run_json_tells_how_each_launch_was_made(folder: Folder) -> None:
    record(folder, RUN, INPUTS, Resources(workers=2), 20, "runs/other@1@500")
    held = json.loads(folder.read("run.json"))
    assert held["recipe"]["batch"] == RUN.batch
    assert held["inputs"] == INPUTS
    assert [launch["step"] for launch in held["launches"]] == [0, 20]
    last = held["launches"][1]
    assert last["resources"]["workers"] == 2
    assert last["from"] == "runs/other@1@500"
    assert {"python", "torch", "ecgfm"} <= last["versions"].keys()
    assert last["hardware"]["cores"] > 0
    assert len(last["git"]["commit"]) == 40
    assert isinstance(last["git"]["clean"], bool)
    assert len(last["tree"]) == 40


OWN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    knob: float = 1.0
"""


def test_a_method_of_one_s_own_is_known_by_its_file(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, file = [], tmp_path / "mine" / "held.py"
    monkeypatch.setattr(claim.log, "warning", lambda form, *given: said.append(form % given))
    file.parent.mkdir()
    file.write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    run = replace(RUN, objectives={"held": find("mine.held").Config(), "merit": find("merit").Config()})
    for _ in range(2):
        record(folder, run, INPUTS, Resources(), 0, "")
    assert not said
    file.write_text(f"{OWN}    other: float = 2.0")
    record(folder, run, INPUTS, Resources(), 0, "")
    assert len(said) == 1
    assert said[0].startswith("mine.held was changed since the last launch")
    launches = json.loads(folder.read("run.json"))["launches"]
    assert [list(launch["methods"]) for launch in launches] == [[], *[["mine.held"]] * 3]
    sys.modules.pop("mine.held"), sys.modules.pop("mine")


def test_a_position_means_the_same_only_in_the_same_order(folder: Folder) -> None:
    assert same_data(folder, replace(RUN, steps=1000, optimizer=replace(RUN.optimizer, decay=0.5)), INPUTS)
    assert same_data(folder, RUN, {**INPUTS, "words": "other"})
    assert not same_data(folder, replace(RUN, seed=4), INPUTS)
    assert not same_data(folder, replace(RUN, batch=16), INPUTS)
    assert not same_data(folder, RUN, {"shards of some": "made again"})
    assert not same_data(folder, RUN, {**INPUTS, "order": "visits"})


def test_a_damaged_run_json_is_named(folder: Folder) -> None:
    whole = folder.read("run.json")
    folder.write("run.json", whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"run\.json is damaged .*put back a copy"):
        same_run(folder, RUN, INPUTS)


def test_code_is_known_by_the_name_that_git_gives_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("a.py", "a/b.py", "a-b/deep/c.toml", "z/run"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    (home / "z/run").chmod(0o755)
    ask = ["git", "-C", str(tmp_path)]
    subprocess.run([*ask, "init", "-q"], check=True)
    subprocess.run([*ask, "add", "home"], check=True)
    whole = subprocess.run([*ask, "write-tree"], check=True, capture_output=True, text=True).stdout.strip()
    (home / "a/__pycache__").mkdir()
    (home / "a/__pycache__/b.pyc").write_text("")
    expected = subprocess.run([*ask, "rev-parse", f"{whole}:home"], check=True, capture_output=True, text=True)
    assert tree(home) == expected.stdout.strip()
    (home / "a.py").write_text("other")
    assert tree(home) != expected.stdout.strip()
