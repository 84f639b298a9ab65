import io
import subprocess
import sys

import numpy as np
import pytest
import wfdb
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from ecgfm.data.record import CANONICAL, LEADS
from ecgfm.picture import ecg

MM = 25.4  # in an inch
CART = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), ("II",))


def noise(leads: int, seconds: float, rate: float = 500.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.2, (leads, round(seconds * rate))).astype(np.float32)


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_label() != "paper"]


def own(figure: Figure, lead: str) -> Axes:
    """The lead's panel among the twelve: of two with its name, the upper one."""
    return max((axes for axes in panels(figure) if axes.get_label() == lead), key=lambda axes: axes.get_position().y0)


def rhythm(figure: Figure) -> Axes:
    return min(panels(figure), key=lambda axes: axes.get_position().y0)


def millimetres(axes: Axes) -> np.ndarray:
    """Left, bottom, width, height on the page."""
    figure = axes.get_figure(root=True)
    assert figure
    width, height = figure.get_size_inches() * MM
    return np.array(axes.get_position().bounds) * [width, height, width, height]


def trace(axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and millivolts of the one line in a panel."""
    (line,) = axes.lines
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def paper(figure: Figure) -> Axes:
    return next(axes for axes in figure.axes if axes.get_label() == "paper")


def test_a_second_is_25_mm_and_a_millivolt_is_10_mm() -> None:
    figure = ecg(noise(12, 10), 500.0, LEADS)
    np.testing.assert_allclose(figure.get_size_inches() * MM, (279, 200))
    for axes in panels(figure):
        _, _, width, height = millimetres(axes)
        (start, end), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert width / (end - start) == pytest.approx(25)
        assert height / (high - low) == pytest.approx(10)


def test_printed_at_100_percent_a_step_of_1_mv_for_1_s_measures_10_by_25_mm() -> None:
    signal = np.zeros((1, 5000), np.float32)
    signal[0, 500:1000] = 1
    file = io.BytesIO()
    ecg(signal, 500.0, ("II",)).savefig(file, format="png")
    image = Image.open(file)
    pitch = image.info["dpi"][0] / MM
    np.testing.assert_allclose(np.array(image.size) / pitch, (279, 200), atol=0.05)
    dark = np.asarray(image.convert("L")) < 80
    strip = dark[-round(55 * pitch) :, round(18 * pitch) :]  # the rhythm strip, right of its pulse and name
    strip[: round(10 * pitch)] = False
    levels = [rows.mean() for rows in runs(strip.sum(1) > 20 * pitch)]
    edges = [columns.mean() for columns in runs(strip.sum(0) > 8 * pitch)]
    assert np.diff(levels) / pitch == pytest.approx([10], abs=0.1)
    assert np.diff(edges) / pitch == pytest.approx([25], abs=0.1)


def runs(where: np.ndarray) -> list[np.ndarray]:
    """Groups of neighbouring places."""
    places = np.flatnonzero(where)
    return np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)


def test_the_grid_has_a_thin_line_each_mm_and_a_bold_one_each_5_mm() -> None:
    sheet = paper(ecg(noise(1, 1), 500.0, ("I",)))
    assert millimetres(sheet)[2:] == pytest.approx([np.ptp(sheet.get_xlim()), np.ptp(sheet.get_ylim())])
    thin, _, bold, *_ = sheet.collections
    for step, lines in ((1, thin), (5, bold)):
        places = [np.asarray(path.vertices)[0, 0] for path in lines.get_paths()]
        np.testing.assert_array_equal(places, np.arange(0, 266, step))
    assert np.all(np.asarray(bold.get_linewidth()) > np.asarray(thin.get_linewidth()))


def test_a_pulse_of_1_mv_and_200_ms_stands_before_each_row() -> None:
    lines = paper(ecg(noise(1, 1), 500.0, ("I",))).lines
    assert len(lines) == 4
    for line in lines:
        x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        assert np.ptp(y) == 10
        assert np.ptp(x[y == y.max()]) == 5
        assert max(x) <= 10


def test_leads_stand_as_a_cart_prints_them() -> None:
    found = sorted(panels(ecg(noise(12, 10), 500.0, LEADS)), key=lambda a: (-a.get_position().y0, a.get_position().x0))
    assert [axes.get_label() for axes in found] == [lead for row in CART for lead in row]
    assert [axes.texts[0].get_text() for axes in found] == [lead for row in CART for lead in row]
    left = millimetres(found[0])[0]
    for axes, column in zip(found, (*(0, 1, 2, 3) * 3, 0), strict=True):
        assert millimetres(axes)[0] - left == pytest.approx(62.5 * column)


@pytest.mark.parametrize("rate", [100.0, 257.0, 500.0, 1000.0])
def test_time_runs_on_across_the_columns(rate: float) -> None:
    order = tuple(reversed(LEADS))  # names decide, not rows
    signal = noise(12, 10, rate)
    figure = ecg(signal, rate, order)
    for lead in LEADS:
        axes = own(figure, lead)
        column = LEADS.index(lead) // 3
        assert axes.get_xlim() == pytest.approx((2.5 * column, 2.5 * column + 2.5))
        time, values = trace(axes)
        assert axes.get_xlim()[0] <= time[0] + 1e-6 < axes.get_xlim()[0] + 1 / rate
        assert axes.get_xlim()[1] - 1 / rate - 1e-6 <= time[-1] <= axes.get_xlim()[1] + 1e-6
        np.testing.assert_array_equal(values, signal[order.index(lead)][np.round(time * rate).astype(int)])
    time, values = trace(rhythm(figure))
    np.testing.assert_array_equal(values, signal[order.index("II")])


@pytest.mark.parametrize("leads", [("I",), ("V2",), ("I", "II"), ("I", "II", "III", "V2"), LEADS[:6]])
def test_a_missing_lead_is_empty_and_its_name_grey(leads: tuple[str, ...]) -> None:
    figure = ecg(noise(len(leads), 10), 500.0, leads)
    for lead in LEADS:
        axes = own(figure, lead)
        name = to_rgb(axes.texts[0].get_color())
        assert len(axes.lines) == (lead in leads)
        assert (max(name) < 0.3) == (lead in leads)
    assert rhythm(figure).get_label() == ("II" if "II" in leads else leads[0])
    assert len(trace(rhythm(figure))[0]) == 5000


def test_a_lead_of_nans_counts_as_missing_and_a_gap_stays_a_gap() -> None:
    signal = noise(2, 10)
    signal[0] = np.nan
    signal[1, 500:600] = np.nan
    figure = ecg(signal, 500.0, ("II", "V1"))
    assert to_rgb(own(figure, "II").texts[0].get_color()) == to_rgb(own(figure, "V6").texts[0].get_color())
    assert rhythm(figure).get_label() == "V1"
    assert np.isnan(trace(rhythm(figure))[1]).sum() == 100


def test_nothing_recorded_is_an_empty_page() -> None:
    figure = ecg(np.zeros((0, 0), np.float32), 500.0, ())
    assert not any(axes.lines for axes in panels(figure))


def test_the_row_moves_to_the_lead_and_the_values_stay() -> None:
    signal = noise(1, 10) + np.float32(7)
    axes = own(ecg(signal, 500.0, ("V1",)), "V1")
    assert np.mean(axes.get_ylim()) == pytest.approx(7, abs=0.05)
    assert trace(axes)[1].mean() == pytest.approx(7, abs=0.05)


def test_a_tall_complex_may_leave_its_row_but_not_the_paper() -> None:
    signal = np.zeros((1, 5000), np.float32)
    signal[0, 1000] = 100
    file = io.BytesIO()
    ecg(signal, 500.0, ("I",)).savefig(file, format="png")
    dark = np.asarray(Image.open(file).convert("L")) < 80
    pitch = dark.shape[1] / 279
    column = dark[:, round((7 + 10 + 50) * pitch)]
    assert column[round(20 * pitch) : round(40 * pitch)].all()  # up to the paper's edge, 18 mm below the top
    assert not column[: round(17.9 * pitch)].any()


@pytest.mark.parametrize(
    ("seconds", "footer"),
    [
        (10, "500 Hz    10 s"),
        (30, "500 Hz    30 s, first 10 s shown"),
        (7, "500 Hz    7 s, columns begin at 0, 1.5, 3, 4.5 s"),
    ],
)
def test_the_footer_says_what_is_shown(seconds: float, footer: str) -> None:
    figure = ecg(noise(12, seconds), 500.0, LEADS, "a title")
    assert [text.get_text() for text in figure.texts] == ["a title", "25 mm/s    10 mm/mV", footer]
    assert trace(rhythm(figure))[0].max() == pytest.approx(min(seconds, 10), abs=0.003)


@pytest.mark.parametrize("seconds", [1.0, 2.5, 5.0, 7.0, 9.998])
def test_a_short_recording_shows_as_much_of_every_lead_as_there_is(seconds: float) -> None:
    figure = ecg(noise(12, seconds), 500.0, LEADS)
    for lead in LEADS:
        time = trace(own(figure, lead))[0]
        assert np.ptp(time) == pytest.approx(min(seconds, 2.5), abs=0.005)


@pytest.mark.parametrize("title", [r"no $\mathematics$", "LEFT BUNDLE BRANCH BLOCK, " * 60, "x" * 500])
def test_any_title_is_taken_as_it_is_and_stays_on_the_page(title: str) -> None:
    figure = ecg(noise(12, 10), 500.0, LEADS, title)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert figure.texts[0].get_text().startswith(title[:15])
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    for box in (text.get_window_extent(canvas.get_renderer()) for text in texts):
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert 0 <= box.y0 < box.y1 <= figure.bbox.height


@pytest.mark.parametrize("leads", [("I",), ("I", "MLII"), ("I", "I"), ("I", "I", "II")])
def test_rows_and_names_must_agree(leads: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="one name a row"):
        ecg(noise(2, 10), 500.0, leads)


@pytest.mark.parametrize("name", ["two_leads/JS20000", "six_leads/HR06000"])
def test_real_recordings_with_few_leads(real, name: str) -> None:
    samples, fields = wfdb.rdsamp(str(real / "reduced-leads" / name))
    leads = tuple(CANONICAL[lead.lower()] for lead in fields["sig_name"])
    signal = np.asarray(samples, np.float32).T
    figure = ecg(signal, float(fields["fs"]), leads)
    assert {axes.get_label() for axes in panels(figure) if axes.lines} == set(leads)
    np.testing.assert_array_equal(trace(rhythm(figure))[1], signal[leads.index("II")][:5000])


def test_drawing_leaves_pyplot_alone() -> None:
    program = "import sys, ecgfm.picture, ecgfm.data.card; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
