"""What a sweep found, from what its trials wrote: a table and a picture, made anew whenever a trial ends.

sweep.json   what was asked, every trial with how it ended and its last figures, every setting with mean and deviation
sweep.md     the same as a table
sweep.png    each figure against the first field, a line for each setting of the others; drawn numbers as points

A figure is that of a trial's last look at held-out records, not of its best one, which would favour whoever looks more
often. Means and deviations are over the seeds of finished trials.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgfm.data.storage import Folder
from ecgfm.run import Cadence, describe
from ecgfm.sweep.space import Axis, Range, Trial, shortened, unlike
from ecgfm.train.checkpoint import steps
from ecgfm.train.journal import rows

SWEEP = "sweep.json"
_WIDTH, _HEIGHT = 5.0, 3.6  # inches of a panel

Figures = Mapping[str, int | float | None]
State = Literal["finished", "stopped", "failed", "unfinished"]


@dataclass(frozen=True)
class Outcome:
    """How a trial stands. `stopped`: given up for others that did better."""

    trial: Trial
    state: State
    step: int
    figures: Figures
    reason: str = ""


def inside(sweep: str, name: str) -> Folder:
    """The folder of a trial; what a URI says after its ? stays at its end."""
    path, mark, options = Folder(sweep).uri.partition("?")
    return Folder(f"{path.rstrip('/')}/{name}{mark}{options}")


def looks(folder: Folder, figure: str) -> list[Figures]:
    """What a trial's watchers found, oldest first."""
    return [row for row in rows(folder) if figure in row]


def saved(folder: Folder) -> int:
    """The step a trial would go on from."""
    return max(steps(folder), default=0)


def is_finished(folder: Folder, trial: Trial) -> bool:
    return saved(folder) >= trial.run.steps and folder.exists("towers.safetensors")


def outcome(sweep: str, trial: Trial, ended: Mapping[str, tuple[State, str]]) -> Outcome:
    """`ended` says of trials that are not finished why they are not trained on."""
    folder = inside(sweep, trial.name)
    found = looks(folder, trial.run.cadence.best)
    last = found[-1] if found else {}
    made = max((row["step"] or 0 for row in rows(folder)), default=0)
    state, reason = ("finished", "") if is_finished(folder, trial) else ended.get(trial.name, ("unfinished", ""))
    return Outcome(trial, state, int(made), {name: v for name, v in last.items() if name != "step"}, reason)


def stopped(folder: Folder) -> dict[str, tuple[State, str]]:
    """The trials that an earlier launch gave up."""
    held = json.loads(folder.read(SWEEP))["trials"] if folder.exists(SWEEP) else []
    return {trial["name"]: ("stopped", trial["reason"]) for trial in held if trial["state"] == "stopped"}


def write(folder: Folder, over: Sequence[Axis], outcomes: Sequence[Outcome], show: Sequence[str]) -> None:
    """`show`: further figures for the table and the picture."""
    cadence: Cadence = outcomes[0].trial.run.cadence
    figures = [*dict.fromkeys((cadence.best, *show))]
    settings = summed(outcomes, figures)
    trials = [
        {"name": o.trial.name, "setting": dict(o.trial.setting), "seed": o.trial.run.seed, "state": o.state}
        | {"step": o.step, "steps": o.trial.run.steps, "reason": o.reason, "figures": dict(o.figures)}
        for o in outcomes
    ]
    content = {
        "over": {a.path: asdict(a.values) if isinstance(a.values, Range) else list(a.values) for a in over},
        "figure": cadence.best,
        "best is": cadence.best_is,
        "settings": settings,
        "trials": trials,
        "recipe of the first": describe(outcomes[0].trial.run),
    }
    folder.write(SWEEP, json.dumps(content, indent=1).encode())
    folder.write("sweep.md", table(f"Sweep {folder}", over, outcomes, settings, cadence).encode())
    drawn = io.BytesIO()
    picture(over, outcomes, settings, figures).savefig(drawn, format="png", dpi=150)
    folder.write("sweep.png", drawn.getvalue())


def summed(outcomes: Sequence[Outcome], figures: Sequence[str]) -> list[dict[str, Any]]:
    """One for each setting, in the order of the trials."""
    groups: dict[tuple, list[Outcome]] = {}
    for o in outcomes:
        groups.setdefault((*o.trial.setting.items(),), []).append(o)
    return [
        {"setting": dict(setting), "trials": len(group)}
        | {state: sum(o.state == state for o in group) for state in ("finished", "stopped", "failed")}
        | {"figures": {name: _over_seeds(group, name) for name in figures}}
        for setting, group in groups.items()
    ]


def _over_seeds(group: Sequence[Outcome], name: str) -> dict[str, float | int | None]:
    values = [v for o in group if o.state == "finished" and (v := o.figures.get(name)) is not None]
    deviation = stdev(values) if len(values) > 1 else None
    return {"mean": fmean(values) if values else None, "deviation": deviation, "seeds": len(values)}


def table(
    title: str, over: Sequence[Axis], outcomes: Sequence[Outcome], settings: Sequence[dict[str, Any]], cadence: Cadence
) -> str:
    short, figures = shortened([axis.path for axis in over]), [*settings[0]["figures"]]
    head = [*short.values(), *figures, "finished", "stopped", "failed"]
    lines = [f"# {title}", "", _row(head), _row(["---"] * len(head))]
    for s in settings:
        cells = [_cell(value) for value in s["setting"].values()]
        cells += [_spread(s["figures"][name]) for name in figures]
        lines.append(_row([*cells, f"{s['finished']} of {s['trials']}", str(s["stopped"]), str(s["failed"])]))
    lines += ["", "Mean ± standard deviation over the seeds of finished trials, at their last look.", ""]
    best, why_none = _best(settings, cadence), unlike(over, cadence.best)
    if why_none:
        lines += [f"No setting is named the best: {why_none}.", ""]
    elif best:
        words = ", ".join(f"{short[path]} = {_cell(value)}" for path, value in best.items())
        lines += [f"The {cadence.best_is} mean of {cadence.best}: {words}.", ""]
    made, wasted = (sum(o.step for o in some) for some in (outcomes, [o for o in outcomes if o.state == "failed"]))
    given_up = sum(o.step for o in outcomes if o.state == "stopped")
    lines += [f"{made:,} steps were made, {wasted:,} of them in trials that failed, {given_up:,} in stopped ones.", ""]
    lines += [f"- {o.trial.name}: failed after step {o.step}: {o.reason}" for o in outcomes if o.state == "failed"]
    lines += [f"- {o.trial.name}: still to be trained" for o in outcomes if o.state == "unfinished"]
    there = dict.fromkeys(name for o in outcomes for name in o.figures)
    lines += [
        f"- no watcher finds {name!r}: there are {', '.join(there)}" for name in figures if there and name not in there
    ]
    return "\n".join([*lines, ""])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _spread(figure: Mapping[str, float | None]) -> str:
    if figure["mean"] is None:
        return ""
    return f"{figure['mean']:.4g}" + ("" if figure["deviation"] is None else f" ± {figure['deviation']:.2g}")


def _best(settings: Sequence[dict[str, Any]], cadence: Cadence) -> dict[str, Any] | None:
    means = [(s["figures"][cadence.best]["mean"], s["setting"]) for s in settings]
    there = [(mean, setting) for mean, setting in means if mean is not None]
    choose = min if cadence.best_is == "lowest" else max
    return choose(there, key=lambda one: one[0])[1] if there else None


def picture(
    over: Sequence[Axis], outcomes: Sequence[Outcome], settings: Sequence[dict[str, Any]], figures: Sequence[str]
) -> Figure:
    drawn = len(settings) < _combinations(over)
    across = over if drawn else over[:1]
    figure = Figure((_WIDTH * len(across), _HEIGHT * len(figures)), layout="constrained")
    panels = figure.subplots(len(figures), len(across), squeeze=False)
    for line, name in zip(panels, figures, strict=True):
        for panel, axis in zip(line, across, strict=True):
            if drawn:
                _points(panel, axis, outcomes, name)
            else:
                _lines(panel, over, settings, name)
            panel.set_xlabel(shortened([a.path for a in over])[axis.path])
        line[0].set_ylabel(name)
    return figure


def _combinations(over: Sequence[Axis]) -> float:
    found = 1.0
    for axis in over:
        found *= float("inf") if isinstance(axis.values, Range) else len(axis.values)
    return found


def _lines(panel: Axes, over: Sequence[Axis], settings: Sequence[dict[str, Any]], name: str) -> None:
    """The first field's values stand at even distances, whatever they are: a 0 has a place among powers of ten."""
    first, *others = over
    values = [*first.values] if not isinstance(first.values, Range) else []
    short = shortened([axis.path for axis in over])
    groups: dict[str, list[dict[str, Any]]] = {}
    for s in settings:
        label = ", ".join(f"{short[axis.path]} {_cell(s['setting'][axis.path])}" for axis in others)
        if s["figures"][name]["mean"] is not None:
            groups.setdefault(label, []).append(s)
    for label, line in groups.items():
        at = [values.index(s["setting"][first.path]) for s in line]
        means = [s["figures"][name]["mean"] for s in line]
        spread = [s["figures"][name]["deviation"] or 0.0 for s in line]
        panel.errorbar(at, means, spread, marker="o", capsize=3, label=label)
    panel.set_xticks(range(len(values)), [_cell(value) for value in values])
    if others and groups:
        panel.legend(fontsize=8)


def _points(panel: Axes, axis: Axis, outcomes: Sequence[Outcome], name: str) -> None:
    """Every trial, hollow where it was stopped: its figure is of an earlier step."""
    for state, fill in (("finished", "C0"), ("stopped", "none")):
        there = [o for o in outcomes if o.state == state]
        dots = [(o.trial.setting[axis.path], v) for o in there if (v := o.figures.get(name)) is not None]
        if not isinstance(axis.values, Range):
            dots = [(axis.values.index(value), v) for value, v in dots]
        panel.scatter([x for x, _ in dots], [y for _, y in dots], facecolors=fill, edgecolors="C0", label=state)
    if not isinstance(axis.values, Range):
        panel.set_xticks(range(len(axis.values)), [_cell(value) for value in axis.values])
    elif axis.values.logarithmic:
        panel.set_xscale("log")
    panel.legend(fontsize=8)
