"""Methods by name and by dotted path."""

import sys
from pathlib import Path

import pytest

from ecgfm.objectives import find, names


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
