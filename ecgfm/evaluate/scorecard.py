"""scorecard.json and scorecard.md: a model between its marks and beside its controls, in numbers and in plain words.

Every number is a mean over labels on test subjects, with an interval from drawing subjects anew, and where there are
several runs, seeds of a probe, or untrained towers, from these as well (ecgfm/evaluate/metrics.py).

A control is a model that must fail. Zero-shot, chance (an AUC of 0.5) must lie in its interval; by a probe, it must be
worse than the model. Where a control does as well as the model, the model's figure is not owed to what it learnt.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from ecgfm.data.storage import Folder
from ecgfm.evaluate.examine import METRICS, Found
from ecgfm.evaluate.marks import MOST
from ecgfm.evaluate.metrics import Figure, figure, macro
from ecgfm.evaluate.tasks import Examined

CHANCE = 0.5
MARKS = {
    "floor": "floor: trees on simple measurements",
    "ruler": "ruler: trees on careful measurements",
    "ceiling": "ceiling: an oracle",
}
WHOLE = "probe 100 %"
Marks = Mapping[str, Float64[np.ndarray, "m k"]]


def card(
    examined: Examined,
    marks: Marks,
    runs: Sequence[Found],
    controls: Mapping[str, Sequence[Found]],
    geometry: Mapping[str, Mapping[str, float]],
) -> dict:
    """What is known of one task: `runs` are the model, trained from one seed or several; `geometry` by whose it is."""
    test = examined.splits["test"]
    ways = {way: {metric: _figure(runs, way, metric).json() for metric in METRICS} for way in runs[0]}
    between = {name: figure([macro(array)]).json() for name, array in marks.items()}
    return {
        "task": examined.task.name,
        "records": {split: len(cohort) for split, cohort in examined.splits.items()},
        "subjects": len(np.unique(test.subject)),
        "dropped": dict(examined.dropped),
        "runs": len(runs),
        "marks": between,
        "model": ways,
        "way": {way: _way(between, _figure(runs, way, "auc").value) for way in ways},
        "controls": [entry for name, found in controls.items() for entry in _judged(name, runs, found)],
        "geometry": {name: dict(figures) for name, figures in geometry.items()},
        "labels": _by_label(examined, marks, runs),
    }


def _figure(runs: Sequence[Found], way: str, metric: str) -> Figure:
    """Of one run: over the seeds of its probe. Of several: over runs, each the mean of its seeds."""
    found = [[macro(array) for array in run[way][metric]] for run in runs]
    return figure(found[0] if len(found) == 1 else [np.mean(seeds, axis=0) for seeds in found])


def _way(marks: Mapping[str, Any], value: float) -> dict[str, float]:
    """How far from each lower mark to the ceiling: 0 at the mark, 1 at the ceiling."""
    if "ceiling" not in marks:
        return {}
    top = marks["ceiling"]["value"]
    return {low: (value - marks[low]["value"]) / (top - marks[low]["value"]) for low in ("floor", "ruler")}


def _judged(name: str, runs: Sequence[Found], controls: Sequence[Found]) -> list[dict]:
    entries = []
    for way in ("zero-shot", WHOLE):
        if way not in runs[0] or way not in controls[0]:
            continue
        found = _figure(controls, way, "auc")
        if way == "zero-shot":
            rule, passes = f"{CHANCE} lies in its interval", found.holds(CHANCE)
        else:
            rule, passes = "the model is better", _better(runs, controls, way)
        entries.append({"control": name, "way": way, "auc": found.json(), "rule": rule, "passes": bool(passes)})
    return entries


def _better(runs: Sequence[Found], controls: Sequence[Found], way: str) -> bool:
    """On the same draws of subjects."""

    def mean(found: Found) -> Float64[np.ndarray, "m"]:
        return np.mean([macro(array) for array in found[way]["auc"]], axis=0)

    ours = np.mean([mean(run) for run in runs], axis=0)
    return figure([ours - mean(control) for control in controls]).low > 0


def _by_label(examined: Examined, marks: Marks, runs: Sequence[Found]) -> dict[str, dict[str, float | None]]:
    columns = {name: array[0] for name, array in marks.items()}
    columns |= {way: np.mean([a[0] for run in runs for a in run[way]["auc"]], axis=0) for way in runs[0]}
    share = examined.splits["test"].labels.mean(0)
    return {
        name: {"share": float(share[i]), **{c: None if np.isnan(v[i]) else float(v[i]) for c, v in columns.items()}}
        for i, name in enumerate(examined.names)
    }


def write(folder: Folder, title: str, cards: Sequence[dict]) -> None:
    folder.write("scorecard.json", json.dumps({"title": title, "tasks": list(cards)}, indent=1).encode())
    folder.write("scorecard.md", page(title, cards).encode())


def failed(cards: Sequence[dict]) -> list[str]:
    """The controls that did not fail as they must."""
    return [
        f"{entry['control']}, {entry['way']}, {c['task']}"
        for c in cards
        for entry in c["controls"]
        if not entry["passes"]
    ]


def page(title: str, cards: Sequence[dict]) -> str:
    parts = [f"# {title}\n", _PREFACE, *(part for found in cards for part in _task(found))]
    return "\n".join(parts)


_PREFACE = """Means over labels on the test subjects of these shards; whether the model was trained on other shards that
hold them too, `ecgfm overlap` tells. In brackets 95 % intervals. AUC: how often a recording with a finding scores above
one without it; 0.5 is chance. Thresholds of F1 were chosen on other subjects. A control is a model that must fail;
where one does not, the model's figure is not owed to what it learnt.
"""


def _task(found: dict) -> list[str]:
    records = found["records"]
    lines = [
        f"## {found['task']}\n",
        f"{len(found['labels'])} labels on {records['test']:,} test recordings of {found['subjects']:,} subjects; "
        f"probes learn from {records['train']:,}, and choose by {records['valid']:,}; trees learn from "
        f"{min(records['train'], MOST):,}."
        + (f" The model is {found['runs']} runs from as many seeds." if found["runs"] > 1 else ""),
    ]
    if found["dropped"]:
        lines.append("Too rare to be scored: " + "; ".join(f"{n} ({why})" for n, why in found["dropped"].items()) + ".")
    lines += ["", *_table(found), "", *_sentences(found), "", *_labels(found), "", *_geometry(found["geometry"])]
    return lines


def _table(found: dict) -> list[str]:
    bounded = "ceiling" in found["marks"]
    head = ["", "AUC", "average precision", "F1", *(["floor to ceiling", "ruler to ceiling"] if bounded else [])]
    rows = [[MARKS[name], _cell(found["marks"][name])] for name in ("floor", "ruler")]
    for way, figures in found["model"].items():
        shares = [f"{found['way'][way][low]:.0%}" for low in ("floor", "ruler")] if bounded else []
        rows.append([f"**{way}**", *(_cell(figures[metric]) for metric in METRICS), *shares])
    if bounded:
        rows.append([MARKS["ceiling"], _cell(found["marks"]["ceiling"])])
    rows += [[f"control: {c['control']}, {c['way']}", _cell(c["auc"])] for c in found["controls"]]
    return _markdown(head, rows)


def _sentences(found: dict) -> list[str]:
    lines = []
    for entry in found["controls"]:
        verdict = "passes" if entry["passes"] else "DOES NOT PASS"
        lines.append(f"- {entry['control']}, {entry['way']}: {verdict} ({entry['rule']}).")
    if "zero-shot" not in found["model"]:
        lines.append(
            "- Not examined zero-shot: no report was laid beside these vectors, or these labels have no prompts."
        )
    silent = [name for name, row in found["labels"].items() if row.get("zero-shot", 0) is None]
    if silent:
        lines.append(f"- Without a prompt, and so left out of zero-shot: {', '.join(silent)}.")
    return lines


def _labels(found: dict) -> list[str]:
    columns = [
        c
        for c in ("share", "floor", "ruler", "zero-shot", WHOLE, "ceiling")
        if c in next(iter(found["labels"].values()))
    ]
    cells = lambda row: ["" if row[c] is None else f"{row[c]:.3f}" for c in columns]  # noqa: E731
    return _markdown(["label", *columns], [[name, *cells(row)] for name, row in found["labels"].items()])


_GEOMETRY = """How the vectors of n test recordings, k of each, fill d directions: ecgfm/geometry.py says what the
figures are. Ranks are to be compared at equal n, and random vectors have high ones."""


def _geometry(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    figures = dict.fromkeys(name for some in found.values() for name in some)
    cells = lambda name: [f"{some[name]:.4g}" if name in some else "" for some in found.values()]  # noqa: E731
    return [_GEOMETRY, "", *_markdown(["", *found], [[name, *cells(name)] for name in figures]), ""] if found else []


def _cell(found: Mapping[str, Any]) -> str:
    return str(Figure(found["value"], found["low"], found["high"]))


def _markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    full = [row + [""] * (len(head) - len(row)) for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *full)]
