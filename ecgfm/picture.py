"""A 12-lead ECG as a cart prints it, in true scale: 25 mm a second, 10 mm a millivolt, on millimetre paper."""

import textwrap

import numpy as np
from jaxtyping import Float32
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from ecgfm.data.record import LEADS

SPEED, GAIN = 25.0, 10.0  # mm per second, mm per millivolt
COLUMN, SHOWN = 2.5, 10.0  # seconds in a column, seconds on the page
ROW, PULSE = 40.0, 10.0  # mm: height of a row, room for the calibration pulse before it
# The page fits on A4 and on Letter, laid flat. Left, bottom, width and height of the paper in it; all in mm.
PAGE = (279.0, 200.0)
PAPER = (7.0, 12.0, PULSE + SHOWN * SPEED + 5, 4 * ROW + 10)
DPI = 254  # ten pixels a millimetre, so that every line of the grid falls on whole pixels
POINT = 72 / 25.4  # points in a millimetre

INK, FAINT, TEXT = "#16161d", "#b9b2b4", "#55505a"
THIN, BOLD, SHEET = "#f9dcdf", "#f0a9b1", "#fffafa"


def ecg(signal: Float32[np.ndarray, "lead time"], rate: float, leads: tuple[str, ...], title: str = "") -> Figure:
    """The first ten seconds in mV: three rows of four leads, 2.5 s each, time running on from column to column as on a
    cart, and below them a rhythm strip of lead II, or of the first lead there is.

    Every panel is an Axes labelled with its lead, in seconds and mV, so that more can be drawn over it:
    `for panel in figure.axes: if panel.get_label() == "V2": panel.axvspan(...)`. The strip's lead has two panels.
    A row's middle is the lead's median: the axis moves, the values do not. A lead without samples stays empty.
    """
    if not len(set(leads)) == len(leads) == len(signal) or not set(leads) <= set(LEADS):
        raise ValueError(f"{len(signal)} rows of signal for leads {leads}: one name a row, each one of {LEADS}")
    seconds = signal.shape[1] / rate
    figure = Figure(figsize=(PAGE[0] / 25.4, PAGE[1] / 25.4), dpi=DPI, facecolor="white")
    paper = _paper(figure)
    rows = dict(zip(leads, signal[:, : int(SHOWN * rate) + 1], strict=True))
    starts = _starts(seconds)
    for place, lead in enumerate(LEADS):
        column, row = divmod(place, 3)
        panel = _panel(figure, lead, row, column * COLUMN, COLUMN)
        _trace(panel, paper, rows.get(lead), rate, starts[column], COLUMN)
    rhythm = next((lead for lead in ("II", *leads) if lead in rows and np.isfinite(rows[lead]).any()), "II")
    _trace(_panel(figure, rhythm, 3, 0.0, SHOWN), paper, rows.get(rhythm), rate, 0.0, SHOWN)
    _words(figure, title, _footer(rate, seconds, starts))
    return figure


def _starts(seconds: float) -> tuple[float, ...]:
    """The second at which each column begins: 0, 2.5, 5, 7.5, closer together where the recording ends before ten."""
    step = min(COLUMN, max(0.0, (seconds - COLUMN) / 3))
    return tuple(column * step for column in range(4))


def _footer(rate: float, seconds: float, starts: tuple[float, ...]) -> str:
    what = f"{rate:g} Hz    {seconds:.4g} s"
    if seconds > SHOWN:
        return f"{what}, first {SHOWN:g} s shown"
    if seconds < SHOWN:
        return f"{what}, columns begin at {', '.join(f'{start:.3g}' for start in starts)} s"
    return what


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float, label: str) -> Axes:
    """An Axes without a frame, placed in mm from the lower left corner of the paper."""
    box = ((PAPER[0] + left) / PAGE[0], (PAPER[1] + bottom) / PAGE[1], width / PAGE[0], height / PAGE[1])
    axes = figure.add_axes(box, label=label, facecolor="none", autoscale_on=False)
    axes.set_axis_off()
    return axes


def _paper(figure: Figure) -> Axes:
    """The millimetre grid and, before each row, a pulse of 1 mV and 0.2 s. Its coordinates are mm."""
    _, _, width, height = PAPER
    paper = _axes(figure, 0.0, 0.0, width, height, "paper")
    paper.set(xlim=(0, width), ylim=(0, height))
    paper.fill([0, width, width, 0], [0, 0, height, height], color=SHEET, linewidth=0)
    for step, color, thickness in ((1, THIN, 0.1), (5, BOLD, 0.2)):
        style = {"colors": color, "linewidths": thickness * POINT, "snap": True, "clip_on": False}
        paper.vlines(np.arange(0, width + 1, step), 0, height, **style)
        paper.hlines(np.arange(0, height + 1, step), 0, width, **style)
    for row in range(4):
        pulse = np.array([0, 0, GAIN, GAIN, 0, 0]) + _middle(row)
        _line(paper, paper, np.array([1, 2.5, 2.5, 7.5, 7.5, 9]), pulse)
    seams = PULSE + COLUMN * SPEED * np.arange(1, 4)
    for row in range(3):
        for bottom in (_middle(row) - 6, _middle(row) + 4):  # clear of the trace, or they would look like pacing
            paper.vlines(seams, bottom, bottom + 2, colors=INK, linewidths=0.2 * POINT)
    return paper


def _middle(row: int) -> float:
    """Height of a row's middle on the paper, in mm."""
    return PAPER[3] - 10 - ROW * (row + 0.5)


def _panel(figure: Figure, lead: str, row: int, left: float, seconds: float) -> Axes:
    """A row's piece of the paper, beginning `left` seconds to the right."""
    return _axes(figure, PULSE + left * SPEED, _middle(row) - ROW / 2, seconds * SPEED, ROW, lead)


def _trace(
    panel: Axes, paper: Axes, samples: Float32[np.ndarray, "time"] | None, rate: float, start: float, span: float
) -> None:
    """One lead from `start` on, with its name. Tall complexes run into the next row, as on a cart."""
    finite = np.empty(0) if samples is None else samples[np.isfinite(samples)]
    middle = float(np.median(finite)) if len(finite) else 0.0
    panel.set(xlim=(start, start + span), ylim=(middle - ROW / 2 / GAIN, middle + ROW / 2 / GAIN))
    panel.text(
        *(1.5 / (span * SPEED), 0.5 + 13 / ROW),  # above the pulse
        str(panel.get_label()),
        transform=panel.transAxes,
        fontproperties=_font(9.0, "bold"),
        color=INK if len(finite) else FAINT,
        va="center",
    )
    if samples is not None:
        time = np.arange(len(samples)) / rate
        inside = (time >= start - 1e-9) & (time <= start + span + 1e-9)
        _line(panel, paper, time[inside], samples[inside])


def _line(axes: Axes, paper: Axes, x: np.ndarray, y: np.ndarray) -> None:
    (line,) = axes.plot(x, y, color=INK, linewidth=0.3 * POINT, solid_joinstyle="round", solid_capstyle="round")
    line.set_clip_path(paper.patch)


def _words(figure: Figure, title: str, footer: str) -> None:
    left, right = PAPER[0] / PAGE[0], (PAPER[0] + PAPER[2]) / PAGE[0]
    top, bottom = (PAPER[1] + PAPER[3] + 3) / PAGE[1], (PAPER[1] - 3) / PAGE[1]
    lines = textwrap.wrap(title, 105, max_lines=3, placeholder=" …")
    style = {"color": TEXT, "fontproperties": _font(8.0)}
    figure.text(left, top, "\n".join(lines), va="bottom", color=INK, fontproperties=_font(10.0), parse_math=False)
    figure.text(left, bottom, f"{SPEED:g} mm/s    {GAIN:g} mm/mV", va="top", **style)
    figure.text(right, bottom, footer, va="top", ha="right", **style)


def _font(size: float, weight: str = "normal") -> FontProperties:
    return FontProperties(family="DejaVu Sans", size=size, weight=weight)  # comes with matplotlib: the same everywhere
