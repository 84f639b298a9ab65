"""What a model made of a recording, drawn over it and under it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgfm.picture import INK, TEXT

GUESS, HIDDEN = "#1f6fd0", "#dfe8f5"
_WIDTH, _LEAD, _TOKEN, _ROOM = 11.0, 0.9, 0.38, 0.9  # inches: of a page, of a row for a lead, for a token, of margins


def drawn(
    figure: Figure,
    guess: Float32[np.ndarray, "lead time"],
    hidden: Bool[np.ndarray, "lead time"],
    rate: float,
    leads: Sequence[str],
) -> Figure:
    """A guess in mV over `picture.ecg`'s page, unless it is nan; where the model saw nothing, the paper is shaded."""
    time = np.arange(guess.shape[1]) / rate
    rows = {lead: (line, unseen) for lead, line, unseen in zip(leads, guess, hidden, strict=True)}
    for panel in figure.axes:
        if (lead := str(panel.get_label())) in rows:
            line, unseen = rows[lead]
            start, end = panel.get_xlim()
            spans = np.flatnonzero(np.diff(unseen, prepend=False, append=False)).reshape(-1, 2) / rate
            for low, high in spans[(spans[:, 1] > start) & (spans[:, 0] < end)]:
                panel.axvspan(max(low, start), min(high, end), color=HIDDEN, linewidth=0, zorder=0)
            inside = (time >= start) & (time <= end)
            panel.plot(time[inside], line[inside], color=GUESS, linewidth=0.9)
    return figure


def attention(
    signal: Float32[np.ndarray, "lead time"],
    rate: float,
    leads: Sequence[str],
    weight: Float32[np.ndarray, "token patch"],
    patch: int,
    title: str = "",
) -> Figure:
    """Leads above, and under them a row for each token: the share of its attention on each patch of `patch` samples.

    Rows of tokens have one scale, so that a token that looks everywhere is seen to. A token's name tells how much of
    its attention lies on these patches; the rest is on what has no place in time.
    """
    heights = [_LEAD] * len(signal) + [_TOKEN] * len(weight)
    figure = Figure((_WIDTH, sum(heights) + _ROOM), facecolor="white", layout="constrained")
    rows = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, lead, samples in zip(rows, leads, signal, strict=False):
        axes.plot(np.arange(len(samples)) / rate, samples, color=INK, linewidth=0.7)
        _bare(axes, lead)
    edges = np.arange(weight.shape[1] + 1) * patch / rate
    for number, (axes, share) in enumerate(zip(rows[len(signal) :], weight, strict=True), 1):
        axes.stairs(share, edges, fill=True, color=GUESS, linewidth=0)
        axes.set_ylim(0, max(weight.max(), 1e-9))
        _bare(axes, f"{number}: {share.sum():.0%}".replace("%", " %"))
    rows[-1].set(xlabel="seconds", xlim=(0, signal.shape[1] / rate))
    rows[-1].tick_params(bottom=True, labelbottom=True)
    figure.suptitle(title, fontsize=10, color=INK)
    return figure


def _bare(axes: Axes, name: str) -> None:
    axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8, color=TEXT)
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
    for side in axes.spines.values():
        side.set_visible(False)
