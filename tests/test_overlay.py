"""Drawings over and under a recording."""

import io

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ecgfm.data.record import LEADS
from ecgfm.overlay import GUESS, attention, drawn
from ecgfm.picture import ecg

RATE = 100.0


def noise(leads: int = 12, seconds: float = 10.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.2, (leads, round(seconds * RATE))).astype(np.float32)


def guesses(figure: Figure) -> list:
    return [(axes, line) for axes in figure.axes for line in axes.lines if to_hex(line.get_color()) == GUESS]


def test_the_guess_stands_where_the_signal_was_hidden_and_nowhere_else() -> None:
    signal, hidden = noise(), np.zeros(1000, bool)
    hidden[160:320] = hidden[900:] = True
    figure = drawn(ecg(signal, RATE, LEADS), guess_at(hidden, signal + 1), np.tile(hidden, (12, 1)), RATE, LEADS)
    found = guesses(figure)
    assert len(found) == 13  # twelve panels and the strip
    for axes, line in found:
        time, value = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        place = np.round(time * RATE).astype(int)
        np.testing.assert_array_equal(np.isfinite(value), hidden[place])
        own = (signal + 1)[LEADS.index(axes.get_label())]
        np.testing.assert_array_equal(value[hidden[place]], own[place][hidden[place]])
        start, end = axes.get_xlim()
        shaded = [patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches]
        expected = [(max(a, start), min(b, end)) for a, b in ((1.6, 3.2), (9.0, 10.0)) if b > start and a < end]
        np.testing.assert_allclose([x for box in shaded for x in (box.x0, box.x1)], np.ravel(expected), atol=1e-9)


def test_a_lead_that_was_not_seen_is_shaded_from_end_to_end() -> None:
    """Also where nothing was guessed."""
    signal, hidden = noise(), np.zeros((12, 1000), bool)
    hidden[LEADS.index("V2")] = True
    figure = drawn(ecg(signal, RATE, LEADS), np.full_like(signal, np.nan), hidden, RATE, LEADS)
    shaded = {axes.get_label(): len(axes.patches) for axes in figure.axes}
    assert shaded.pop("V2") == 1
    assert {name for name, count in shaded.items() if count} == {"paper"}


def guess_at(places: np.ndarray, guess: np.ndarray) -> np.ndarray:
    return np.where(places, guess, np.nan).astype(np.float32)


def test_leads_without_a_guess_stay_as_they_are() -> None:
    signal = noise(2)
    figure = drawn(ecg(signal, RATE, ("I", "II")), signal[:1], np.ones((1, 1000), bool), RATE, ("I",))
    assert {axes.get_label() for axes, _ in guesses(figure)} == {"I"}


def test_each_token_has_a_row_under_the_leads() -> None:
    weight = np.random.default_rng(1).dirichlet(np.ones(63), 8)[:, :62].astype(np.float32)
    figure = attention(noise(2), RATE, ("II", "V1"), weight, patch=16, title="a title")
    leads, tokens = figure.axes[:2], figure.axes[2:]
    assert [axes.get_ylabel() for axes in leads] == ["II", "V1"]
    assert len(tokens) == 8
    heights = [axes.get_position().y0 for axes in figure.axes]
    assert heights == sorted(heights, reverse=True)
    for axes, share in zip(tokens, weight, strict=True):
        stairs = axes.patches[0].get_data()
        np.testing.assert_array_equal(stairs.values, share)
        np.testing.assert_allclose(stairs.edges, np.arange(63) * 0.16)
        assert axes.get_xlim() == (0, 10)
        assert axes.get_ylim()[1] == weight.max()
    assert tokens[0].get_ylabel() == f"1: {weight[0].sum():.0%}".replace("%", " %")


def test_the_page_is_drawn() -> None:
    file = io.BytesIO()
    attention(noise(1), RATE, ("I",), np.zeros((1, 62), np.float32), patch=16).savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")
