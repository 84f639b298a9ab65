"""A corpus on one page: how much there is, of what, of whom, and what was refused. Counts only: no text, no ids."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from ecgfm.data import shards

INK, TEXT, RULE = "#16161d", "#6a717c", "#e2e5e9"
BAR, TRACK = "#2a6f97", "#e9eef2"
SEXES = {"F": "#c8553d", "M": "#2a6f97", "?": "#a3abb5"}
FEW = 6  # bars in a panel: rarer values share the last one
PITCH = 0.04  # of such a bar, as a share of the page
OLDEST = 90  # older ages share a bin: a single one would tell who it is
VISITS = np.array([1, 2, 3, 5, 9, 17])  # the fewest records of the subjects in each bar


def card(name: str, index: pa.Table, reports: pa.Table, refusals: pa.Table) -> Figure:
    """`index` has a row per record (subject, split, rate, seconds, lead_count, age, sex, report, content; what is not
    known is null, or a report of -1), `reports` one per distinct report (count), `refusals` one per refused record
    (reason)."""
    figure = Figure(figsize=(13.2, 8.4), dpi=160, facecolor="white")
    across = {"left": 0.04, "right": 0.96, "wspace": 0.22}
    tiles = figure.add_gridspec(1, 4, top=0.895, bottom=0.79, **across)
    cells = figure.add_gridspec(2, 4, top=0.67, bottom=0.05, hspace=0.45, height_ratios=(1, 0.9), **across)
    figure.text(0.04, 0.945, name, size=20, weight="bold", color=INK, va="center", parse_math=False)
    figure.add_artist(Line2D((0.04, 0.96), (0.9, 0.9), color=RULE, linewidth=1))
    for column, fact in enumerate(_facts(index, reports, refusals)):
        _fact(figure, tiles[column], *fact)
    _lengths(_panel(figure, cells[0, 0], "Length", "records by seconds"), index["seconds"])
    _ages(_panel(figure, cells[0, 1], "Age and sex", "records"), index)
    _visits(_panel(figure, cells[0, 2], "Visits", "subjects by how many records they have"), index["subject"])
    _frequencies(_panel(figure, cells[0, 3], "Reports", "records with a report, by its rank"), reports["count"])
    _counts(_panel(figure, cells[1, 0], "Sampling rate", "records"), index["rate"], "{:g} Hz")
    _counts(_panel(figure, cells[1, 1], "Leads", "records by leads present"), index["lead_count"], "{}")
    astray = len(shards.astray(index))
    several = f"; {astray:,} stand in several" if astray else ""
    _splits(_panel(figure, cells[1, 2], "Splits", f"records and subjects{several}"), index)
    _counts(_panel(figure, cells[1, 3], "Refused", "records by reason"), refusals["reason"], "{}")
    return figure


def _facts(index: pa.Table, reports: pa.Table, refusals: pa.Table) -> tuple[tuple[str, str, str], ...]:
    """The four numbers that one asks for first, each with a word and a remark."""
    records, refused, subjects = len(index), len(refusals), len(index["subject"].unique())
    hours = _numbers(index["seconds"]).sum() / 3600
    written = int(np.sum(_numbers(index["report"]) >= 0))
    return (
        (f"{records:,}", "records", f"{hours:,.0f} h of ECG" if hours >= 10 else f"{hours * 60:,.1f} min of ECG"),
        (f"{subjects:,}", "subjects", f"records per subject: {records / max(subjects, 1):.3g}"),
        (f"{len(reports):,}", "distinct reports", f"{_share(written, records)} of the records have one"),
        (f"{refused:,}", "refused", f"{_share(refused, records + refused)} of {records + refused:,}"),
    )


def _fact(figure: Figure, tile: SubplotSpec, number: str, word: str, remark: str) -> None:
    box = tile.get_position(figure)
    figure.text(box.x0, box.y1 - 0.038, number, size=20, color=BAR, va="center")
    figure.text(box.x0, box.y1 - 0.075, word, size=10, color=INK, va="center")
    figure.text(box.x0, box.y1 - 0.099, remark, size=8.5, color=TEXT, va="center")


def _panel(figure: Figure, cell: SubplotSpec, title: str, subtitle: str) -> Axes:
    box = cell.get_position(figure)
    figure.text(box.x0, box.y1 + 0.046, title, size=11.5, weight="bold", color=INK)
    figure.text(box.x0, box.y1 + 0.02, subtitle, size=8.5, color=TEXT)
    return figure.add_subplot(cell, label=title)


def _numbers(column: pa.ChunkedArray) -> Float64[np.ndarray, "n"]:
    """The values that are known."""
    values = column.cast(pa.float64()).drop_null().to_numpy()
    return values[~np.isnan(values)]


def _share(part: int, whole: int) -> str:
    percent = 100 * part / max(whole, 1)
    return "< 0.01 %" if 0 < percent < 0.01 else f"{percent:.3g} %" if percent > 99 else f"{percent:.2g} %"


def _empty(axes: Axes) -> None:
    axes.set_axis_off()
    axes.text(0, 0.93, "none", transform=axes.transAxes, size=9.5, color=TEXT, style="italic")


def _bars(axes: Axes, names: Sequence[str], counts: Sequence[int], notes: Sequence[str]) -> None:
    """Lying bars, each a share of the whole, under its name and its numbers."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(axes.get_position().height / PITCH, 0))
    rows = np.arange(len(counts)) + 0.7
    axes.barh(rows, 1, height=0.2, color=TRACK)
    axes.barh(rows, np.divide(counts, sum(counts)), height=0.2, color=BAR)
    for row, name, note in zip(rows, names, notes, strict=True):
        axes.text(0, row - 0.18, name, size=8.5, color=INK, va="bottom", parse_math=False)
        axes.text(1, row - 0.18, note, size=8.5, color=TEXT, va="bottom", ha="right")


def _counts(axes: Axes, column: pa.ChunkedArray, form: str) -> None:
    """How often each value occurs, the most frequent first."""
    found = column.drop_null().value_counts().to_pylist()
    if not found:
        return _empty(axes)
    found.sort(key=lambda value: -value["counts"])
    shown = found if len(found) <= FEW else found[: FEW - 1]
    names, counts = [form.format(value["values"]) for value in shown], [value["counts"] for value in shown]
    total = sum(value["counts"] for value in found)
    if len(shown) < len(found):
        names.append(f"{len(found) - len(shown)} others")
        counts.append(total - sum(counts))
    _bars(axes, names, counts, [f"{count:,}   {_share(count, total)}" for count in counts])


def _splits(axes: Axes, index: pa.Table) -> None:
    if not len(index):
        return _empty(axes)
    found = index.group_by("split", use_threads=False).aggregate([([], "count_all"), ("subject", "count_distinct")])
    found = found.sort_by([("count_all", "descending")])
    counts, people = found["count_all"].to_pylist(), found["subject_count_distinct"].to_pylist()
    notes = [f"{count:,} records, {of:,} subjects" for count, of in zip(counts, people, strict=True)]
    _bars(axes, found["split"].to_pylist(), counts, notes)


def _standing(axes: Axes, scale: str) -> None:
    """The look of the panels with a scale: no frame, thin lines at the numbers, the numbers within the cell."""
    box = axes.get_position()
    axes.set_position((box.x0 + 0.036, box.y0, box.width - 0.036, box.height))
    axes.set_yscale(scale)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(TEXT)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.tick_params(which="both", length=0, labelsize=8, labelcolor=TEXT)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _logarithmic(axes: Axes, *subs: float) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _remark(axes: Axes, *lines: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    style = {"size": 8.5, "color": TEXT, "ha": "right", "va": "top", "bbox": box}
    axes.text(1, 1, "\n".join(lines), transform=axes.transAxes, **style)


def _lengths(axes: Axes, column: pa.ChunkedArray) -> None:
    """A bar for each length where there are few, else a histogram, on a logarithmic axis where it spans much."""
    values = _numbers(column).round(2)
    if len(np.unique(values)) <= FEW:  # also when there are none
        return _counts(axes, pa.chunked_array([values]), "{:g} s")
    shortest, longest = values.min(), values.max()
    wide = 0 < 20 * shortest < longest
    _standing(axes, "log")
    counts, *_ = axes.hist(values, list((np.geomspace if wide else np.linspace)(shortest, longest, 41)), color=BAR)
    axes.set_ylim(0.7, 4 * float(np.max(counts)))
    if wide:
        _logarithmic(axes, 1.0, 3.0)
    _remark(axes, f"{shortest:g} to {longest:g} s, median {np.median(values):g} s")


def _ages(axes: Axes, index: pa.Table) -> None:
    people = pa.table({"sex": index["sex"].cast(pa.string()).fill_null("?"), "age": index["age"]})
    ages = {sex: _numbers(people.filter(pc.field("sex") == sex)["age"]).clip(0, OLDEST) for sex in SEXES}
    known = {sex: values for sex, values in ages.items() if len(values)}
    if not known:
        return _counts(axes, index["sex"], "{}, age not given")
    total = sum(map(len, known.values()))
    names = [f"{sex} {_share(len(values), total)}" for sex, values in known.items()]
    colors = [SEXES[sex] for sex in known]
    _standing(axes, "linear")
    edges = list(range(0, OLDEST + 10, 5))
    axes.hist(list(known.values()), edges, stacked=True, color=colors, label=names, rwidth=0.9)
    axes.set_xticks(range(0, OLDEST + 1, 15), [*map(str, range(0, OLDEST, 15)), f"{OLDEST}+"])
    style = {"fontsize": 8.5, "labelcolor": TEXT, "handlelength": 0.8, "handletextpad": 0.4, "columnspacing": 1}
    axes.legend(loc="lower right", bbox_to_anchor=(1.03, 1.01), ncols=3, frameon=False, **style)


def _visits(axes: Axes, subject: pa.ChunkedArray) -> None:
    visits = subject.value_counts().field("counts").to_numpy()
    if not len(visits):
        return _empty(axes)
    counts = np.bincount(np.searchsorted(VISITS, visits, side="right") - 1, minlength=len(VISITS))
    spans = zip(VISITS, VISITS[1:] - 1, strict=False)
    names = [f"{first}" if first == last else f"{first}-{last}" for first, last in spans]
    _standing(axes, "log")
    axes.bar([*names, f"{VISITS[-1]}+"], counts, color=BAR, width=0.8)
    axes.set_ylim(0.7, max(10, counts.max() * 4))
    _remark(axes, f"{_share(int(np.sum(visits > 1)), len(visits))} have several, the most {visits.max():,}")


def _frequencies(axes: Axes, column: pa.ChunkedArray) -> None:
    counts = np.sort(_numbers(column))[::-1]
    if not len(counts):
        return _empty(axes)
    ranks = np.unique(np.geomspace(1, len(counts), 400).astype(int))
    _standing(axes, "log")
    _logarithmic(axes, 1.0)
    axes.plot(ranks, counts[ranks - 1], color=BAR, linewidth=2, marker="o", markersize=2)
    axes.set(xlim=(0.8, max(10, len(counts) * 1.3)), ylim=(0.7, max(10, counts[0] * 4)))
    once = f"{int(np.sum(counts == 1)):,} written once"
    _remark(axes, f"the first 100: {_share(int(counts[:100].sum()), int(counts.sum()))}", once)
