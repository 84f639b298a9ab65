"""The curves of runs, side by side, with marks where a run was started again."""

import json
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgfm.data.storage import Folder
from ecgfm.train.journal import rows

_ACROSS, _WIDTH, _HEIGHT = 3, 4.6, 2.9  # panels in a row, inches of each
_SMOOTH = 50  # a curve is drawn faintly, and over it its mean over a 50th of its length
_APART = ("step", "rate", "gradient")


def plot(folders: Sequence[str]) -> Figure:
    """One panel for each figure that a run wrote down, all runs in each."""
    short = [Folder(uri).name for uri in folders]
    names = short if len(set(short)) == len(short) else [str(Folder(uri)) for uri in folders]
    curves = {name: rows(Folder(uri)) for name, uri in zip(names, folders, strict=True)}
    empty = [name for name, found in curves.items() if not found]
    if empty:
        raise ValueError(f"{', '.join(empty)}: no metrics.jsonl with a row in it; is it the folder of a run?")
    figures = list(dict.fromkeys(name for found in curves.values() for row in found for name in row))
    shown = [name for name in figures if name not in _APART and not name.startswith("time/")]
    shown += [name for name in ("gradient", "rate", "time/records_per_second") if name in figures]
    down = -(-len(shown) // _ACROSS)
    figure = Figure(figsize=(_ACROSS * _WIDTH, down * _HEIGHT), layout="constrained")
    panels = figure.subplots(down, _ACROSS, squeeze=False).ravel()
    for panel, name in zip(panels, shown, strict=False):
        for number, (uri, (run, found)) in enumerate(zip(folders, curves.items(), strict=True)):
            _curve(panel, found, name, run, f"C{number}")
            for step in _starts(Folder(uri)):
                panel.axvline(step, color=f"C{number}", linewidth=0.6, linestyle=":")
        panel.set_title(name, fontsize=9)
        panel.tick_params(labelsize=7)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    panels[0].legend(fontsize=7)
    figure.supxlabel("step; a dotted line is a start from a checkpoint", fontsize=8)
    return figure


def _curve(panel: Axes, found: list[dict[str, int | float | None]], name: str, run: str, colour: str) -> None:
    points = [(row["step"], value) for row in found if (value := row.get(name)) is not None]
    if not points:
        return
    step, value = np.array(points, float).T
    width = max(1, len(value) // _SMOOTH)
    smooth = np.convolve(value, np.full(width, 1 / width), mode="valid")
    if width > 1:
        panel.plot(step, value, color=colour, alpha=0.25, linewidth=0.6)
    panel.plot(step[width - 1 :], smooth, color=colour, linewidth=1.2, label=run, marker="." if len(value) < 30 else "")


def _starts(folder: Folder) -> list[int]:
    launches = json.loads(folder.read("run.json"))["launches"] if folder.exists("run.json") else []
    return [launch["step"] for launch in launches[1:]]
