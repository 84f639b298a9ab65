"""Methods by name and by dotted path."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ecgfm.objectives import check, find, names


def test_files_are_methods_and_folders_are_not() -> None:
    assert "dbeta" in names()
    assert "parts" not in names()
    assert find("dbeta").__name__ == "ecgfm.objectives.dbeta"


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean dbeta"):
        find("dbata")
    with pytest.raises(ValueError, match="dotted path"):
        find("quite-another-thing")


def test_a_method_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "method.py").write_text("Config = 'mine'\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find("mine.method").Config == "mine"
    sys.modules.pop("mine.method"), sys.modules.pop("mine")


def test_what_a_config_lacks_is_said() -> None:
    whole = {"terms": {}, "columns": ("text",), "pools": {}, "build": None}
    check("mine", SimpleNamespace(**whole))
    with pytest.raises(ValueError, match="mine: its Config has no columns, pools"):
        check("mine", SimpleNamespace(terms={}, build=None))
    with pytest.raises(ValueError, match="mine needs report: there are text, far, visits, ppg"):
        check("mine", SimpleNamespace(**whole | {"columns": ("report", "far")}))


METHOD = """
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from ecgfm.model.pool import Project
from ecgfm.model.views import EcgView

SPREADING = ("variance",)


@dataclass(frozen=True)
class Config:
    terms: Mapping[str, float] = field(default_factory=lambda: {"variance": 1.0})
    columns: ClassVar = ()
    pools: ClassVar = {"summary": Project()}

    def build(self, towers):
        return Objective(towers.config.width)


class Objective(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.head = nn.Linear(width, 3)

    def forward(self, seen):
        x = seen.embed(EcgView(leads=0.5))
        return {"variance": LOSS}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "fails"),
    [
        ("gather(self.head(x).float()).var(0).sub(1).square().mean()", 0),
        ("self.head(x).float().var(0).sub(1).square().mean()", 1),  # of this rank's rows only
    ],
)
def test_the_contract_holds_a_method_of_one_s_own(tmp_path: Path, loss: str, fails: int) -> None:
    """Run from the user's folder, as the user would."""
    (tmp_path / "mine").mkdir()
    code = "from ecgfm.losses.gather import gather\n" + METHOD.replace("LOSS", loss)
    (tmp_path / "mine" / "method.py").write_text(code)
    contract = Path(__file__).parent / "test_contract.py"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", str(contract), "--objective", "mine.method", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == fails, ran.stdout
    assert f"{10 - fails} passed" in ran.stdout
