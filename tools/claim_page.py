"""The page of a claim, and record.json with how it was made.

Arms are compared seed by seed, on the same draws of subjects, so that what chance gives to both goes away.
"""

import io
import json
import shlex
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from claims import Found, Setting, plain
from matplotlib.figure import Figure as Picture

from ecgfm.data.storage import Folder
from ecgfm.evaluate.metrics import Figure, figure
from ecgfm.run import Run, describe
from ecgfm.train.claim import surroundings


def over_seeds(runs: Sequence[Found]) -> dict[str, Figure]:
    """Means over seeds; intervals from seeds and, where a figure has them, other subjects."""
    draws = {name: [run[name] if len(run[name]) > 1 else 2 * run[name] for run in runs] for name in runs[0]}
    return {name: figure([np.array(drawn) for drawn in some]) for name, some in draws.items()}


def less(ours: Sequence[Found], theirs: Sequence[Found]) -> dict[str, Figure]:
    """By how much one arm's figures are above another's."""
    pairs = list(zip(ours, theirs, strict=True))
    shared = [name for name in ours[0] if name in theirs[0]]
    return over_seeds([{n: np.subtract(one[n], other[n]).tolist() for n in shared} for one, other in pairs])


def write(
    setting: Setting,
    title: str,
    runs: Mapping[str, Run],
    found: Mapping[str, Sequence[Found]],
    pictures: Mapping[str, Picture],
    against: Mapping[str, str],
) -> None:
    """record.json, README.md and the pictures. `runs` are the arms as they were trained; `against` names the arm that
    one is compared with.
    """
    folder, command = Folder(setting.to), shlex.join(["python", *sys.argv])
    figures = {name: over_seeds(seeds) for name, seeds in found.items() if seeds}
    bases = {name: base for name, base in against.items() if name in figures and base in figures}
    above = {name: less(found[name], found[base]) for name, base in bases.items()}
    record = {
        "command": command,
        **surroundings(),
        "arms": {name: describe(run) for name, run in runs.items() if name in figures},
        "figures": {name: _json(some) for name, some in figures.items()},
        "above": {f"{name} above {bases[name]}": _json(some) for name, some in above.items()},
    }
    folder.write("record.json", json.dumps(record, indent=1).encode())
    for name, picture in pictures.items():
        drawing = io.BytesIO()
        picture.savefig(drawing, format="png", dpi=120)
        folder.write(_file(name), drawing.getvalue())
    said = f"`{command}`: {setting.seeds} seeds, {setting.steps} steps of {setting.batch} records."
    if failed := [name for name in runs if name not in figures and not setting.arms]:
        said += f" Left out, as a run of it failed: {'; '.join(failed)}."
    lines = [f"# {title}", "", said, "", *_tables(figures, above, bases)]
    lines += [f"![{name}]({_file(name)})" for name in pictures]
    folder.write("README.md", "\n".join([*lines, ""]).encode())


def _tables(
    figures: Mapping[str, Mapping[str, Figure]], above: Mapping[str, Mapping[str, Figure]], bases: Mapping[str, str]
) -> list[str]:
    lines = []
    for what in dict.fromkeys(what for some in figures.values() for what in some):
        lines += [f"## {what}", "", "| arm | mean (95 %) | above | by (95 %) |", "|---|---|---|---|"]
        for name, some in ((name, some) for name, some in figures.items() if what in some):
            more = above.get(name, {}).get(what)
            lines += [f"| {name} | {some[what]} | {bases[name] if more else ''} | {more or ''} |"]
        lines += [""]
    return lines


def _json(figures: Mapping[str, Figure]) -> dict[str, dict]:
    return {what: one.json() for what, one in figures.items()}


def _file(name: str) -> str:
    return f"{plain(name)}.png"
