"""What a claim rests on, in a folder of jobs/records/: record.json for programs, record.md for readers."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgfm.train.claim import surroundings


def write(to: Path, title: str, said: str, rows: Sequence[Mapping[str, Any]], **more: Any) -> None:
    """`said` is the claim, `rows` the figures behind it; the command, the code and the machine are added."""
    place = surroundings()
    command = shlex.join(["python", *sys.argv])
    held = {"title": title, "said": said, "command": command, "rows": [*rows], **more, **place}
    to.mkdir(parents=True, exist_ok=True)
    (to / "record.json").write_text(json.dumps(held, indent=1) + "\n")
    versions = ", ".join(f"{name} {version}" for name, version in place["versions"].items())
    machine = f"{place['hardware']['cpu']}, {place['hardware']['cores']} cores"
    lines = [f"# {title}", "", said + ".", "", *table(rows), "", f"    {command}", "", f"{machine}; {versions}."]
    (to / "record.md").write_text("\n".join(lines) + "\n")


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows with the same names, as Markdown."""
    cells = [[*rows[0]], ["---"] * len(rows[0]), *([_said(value) for value in row.values()] for row in rows)]
    return [f"| {' | '.join(cell)} |" for cell in cells]


def _said(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def recipe(folder: Path) -> dict[str, Any]:
    """The recipe of a run, as its folder holds it."""
    return json.loads((folder / "run.json").read_text())["recipe"]
