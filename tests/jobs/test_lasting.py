"""Under `ray job submit` a relative path means one in Ray's copy of the code: no job writes there."""

import importlib
import logging
from pathlib import Path

import pytest

WORDS = {
    "negatives": ("--shards", "shards"),
    "pretrain": ("merit_tiny", "--shards", "shards", "--to", "runs/a@1"),
    "sweep": ("merit_tiny", "--over", "batch=8,16", "--shards", "shards", "--to", "sweeps/a"),
    "evaluate": ("--run", "runs/a@1", "--shards", "shards"),
}


@pytest.mark.parametrize("job", WORDS)
def test_what_would_be_lost_is_refused(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    copy = tmp_path / "_ray_pkg_029f88d5ecc55e1e"
    copy.mkdir()
    monkeypatch.chdir(copy)
    said = []
    monkeypatch.setattr(logging.getLogger("ecgfm"), "error", lambda form, *given: said.append(form % given))
    assert importlib.import_module(f"jobs.{job}").main([*WORDS[job]]) == 1
    assert "give an absolute path that all nodes see, or a URI" in "".join(said) + capsys.readouterr().err
    assert [*copy.iterdir()] == []
