import io
import itertools
import time

import matplotlib
import numpy as np
import pyarrow as pa
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from ecgfm.data import shards
from ecgfm.data.card import BAR, SEXES, card


def index(rows: int, **columns) -> pa.Table:
    plain = {
        "subject": np.arange(rows) + 40_000_001,
        "split": ["train"] * rows,
        "rate": np.full(rows, 500.0),
        "seconds": np.full(rows, 10.0),
        "lead_count": np.full(rows, 12),
        "age": pa.nulls(rows, pa.float32()),
        "sex": pa.nulls(rows, pa.string()),
        "report": np.full(rows, -1),
        "content": np.arange(rows),
    }
    return pa.table(plain | columns)


def reports(*counts: int) -> pa.Table:
    text = [f"zebra crossing {number}" for number in range(len(counts))]
    return pa.table({"report_id": np.arange(len(counts)), "text": text, "count": pa.array(counts, pa.int64())})


def refusals(*reasons: str) -> pa.Table:
    paths, details = [f"p1000/okapi{row}" for row in range(len(reasons))], ["walrus"] * len(reasons)
    columns = {"path": paths, "reason": reasons, "detail": details}
    return pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()})


def panel(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_label() == title)


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def heights(axes: Axes, color: str = BAR) -> list[float]:
    return [bar.get_height() for bar in axes.patches if bar.get_facecolor()[:3] == to_rgb(color)]  # type: ignore[attr-defined]


def widths(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches if bar.get_facecolor()[:3] == to_rgb(BAR)]  # type: ignore[attr-defined]


def everything() -> tuple[pa.Table, pa.Table, pa.Table]:
    draw, rows = np.random.default_rng(0), 3000
    records = index(
        rows,
        subject=draw.geometric(0.002, rows) + 40_000_000,
        split=draw.choice(["train", "valid", "test"], rows, p=[0.8, 0.1, 0.1]),
        rate=draw.choice([100.0, 250, 257, 360, 400, 500, 1000], rows),
        seconds=draw.uniform(5, 1800, rows),
        lead_count=draw.integers(1, 13, rows),
        age=pa.array(draw.uniform(0, 300, rows), pa.float32()),
        sex=pa.array(draw.choice(np.array(["F", "M", None], object), rows)),
        report=draw.integers(-1, 500, rows),
        content=draw.integers(0, rows, rows),
    )
    reasons = draw.choice([f"some long reason number {number}" for number in range(12)], 1000)
    return records, reports(*(20_000 // np.arange(1, 501)).tolist()), refusals(*reasons)


def test_the_head_counts_records_subjects_reports_and_refusals() -> None:
    records = index(
        2400, subject=np.repeat(np.arange(600), 4), seconds=np.full(2400, 15.0), report=np.arange(2400).clip(600) - 601
    )
    figure = card("A corpus", records, reports(3, 2, 1), refusals(*["flat lead"] * 600))
    texts = [text.get_text() for text in figure.texts]
    assert texts[:4] == ["A corpus", "2,400", "records", "10 h of ECG"]
    assert texts[4:7] == ["600", "subjects", "records per subject: 4"]
    assert texts[7:10] == ["3", "distinct reports", "75 % of the records have one"]
    assert texts[10:13] == ["600", "refused", "20 % of 3,000"]


def test_no_report_path_detail_or_subject_is_on_the_card() -> None:
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        card("A corpus", *everything()).savefig(file, format="svg")
    page = file.getvalue().decode()
    assert "some long reason number" in page  # so words are found in it
    for secret in ("zebra", "okapi", "p1000", "walrus", "400000", "40,000"):
        assert secret not in page


def test_visits_are_counted_per_subject() -> None:
    visits = [1, 1, 1, 2, 3, 4, 8, 9, 16, 17, 200]
    records = index(sum(visits), subject=np.repeat(np.arange(len(visits)), visits))
    axes = panel(card("A corpus", records, reports(), refusals()), "Visits")
    assert heights(axes) == [3, 1, 2, 1, 2, 2]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "3-4", "5-8", "9-16", "17+"]
    assert words(axes) == ["73 % have several, the most 200"]


def test_report_frequencies_fall_with_rank_on_logarithmic_axes() -> None:
    axes = panel(card("A corpus", index(9), reports(1, 30, 1, 5), refusals()), "Reports")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    np.testing.assert_array_equal(axes.lines[0].get_data(), ([1, 2, 3, 4], [30, 5, 1, 1]))
    assert words(axes) == ["the first 100: 100 %\n2 written once"]


def test_refusals_are_ordered_by_count_and_the_rare_ones_share_a_bar() -> None:
    reasons = [reason for count, reason in enumerate("abcdefgh", start=1) for _ in range(count)]
    axes = panel(card("A corpus", index(9), reports(), refusals(*reasons)), "Refused")
    assert words(axes)[0::2] == ["h", "g", "f", "e", "d", "3 others"]
    assert words(axes)[1::2] == ["8   22 %", "7   19 %", "6   17 %", "5   14 %", "4   11 %", "6   17 %"]
    assert widths(axes) == pytest.approx(np.array([8, 7, 6, 5, 4, 6]) / 36)


def test_splits_show_records_and_subjects() -> None:
    records = index(10, split=["valid"] + ["train"] * 9, subject=[0] + [1, 2, 3] * 3)
    axes = panel(card("A corpus", records, reports(), refusals()), "Splits")
    assert words(axes) == ["train", "9 records, 3 subjects", "valid", "1 records, 1 subjects"]
    assert widths(axes) == pytest.approx([0.9, 0.1])


def test_copies_in_several_splits_are_counted() -> None:
    splits = ["train", "test", "train", "train", "valid", "test", "train"]
    content = np.array([5, 5, 7, 7, 8, 9, 5])
    records = index(7, split=splits, content=content, row=np.arange(7))
    assert sorted(shards.astray(records)["row"].to_pylist()) == [0, 1, 6]
    texts = [text.get_text() for text in card("A corpus", records, reports(), refusals()).texts]
    assert "records and subjects; 3 stand in several" in texts
    assert len(shards.astray(index(7, split=splits))) == 0


def test_few_lengths_are_bars_and_many_a_histogram() -> None:
    few = panel(card("A corpus", index(4, seconds=[10.0, 10, 10, 5]), reports(), refusals()), "Length")
    assert words(few) == ["10 s", "3   75 %", "5 s", "1   25 %"]
    seconds = np.linspace(6, 60, 100)
    many = panel(card("A corpus", index(100, seconds=seconds), reports(), refusals()), "Length")
    assert sum(heights(many)) == 100
    assert many.get_xscale() == "linear"
    assert words(many) == ["6 to 60 s, median 33 s"]
    wide = panel(card("A corpus", index(100, seconds=seconds**2), reports(), refusals()), "Length")
    assert sum(heights(wide)) == 100
    assert wide.get_xscale() == "log"


def test_rates_and_leads_are_counted() -> None:
    figure = card("A corpus", index(4, rate=[500.0, 500, 500, 100], lead_count=[12, 12, 2, 12]), reports(), refusals())
    assert words(panel(figure, "Sampling rate")) == ["500 Hz", "3   75 %", "100 Hz", "1   25 %"]
    assert words(panel(figure, "Leads")) == ["12", "3   75 %", "2", "1   25 %"]


def test_ages_stand_by_sex_and_the_oldest_share_a_bin() -> None:
    ages = pa.array([3, 50, 52, 89, 90, 101, 300, None, float("nan")], pa.float32())
    sexes = pa.array(["F", "F", "M", None, "M", "M", "F", "M", "M"])
    axes = panel(card("A corpus", index(9, age=ages, sex=sexes), reports(), refusals()), "Age and sex")
    found = {sex: heights(axes, color) for sex, color in SEXES.items()}
    women, men, unknown = ({5 * bin: n for bin, n in enumerate(bars) if n} for bars in found.values())
    assert (women, men, unknown) == ({0: 1, 50: 1, 90: 1}, {50: 1, 90: 2}, {85: 1})
    assert [tick.get_text() for tick in axes.get_xticklabels()][-1] == "90+"
    legend = axes.get_legend()
    assert legend
    assert [text.get_text() for text in legend.get_texts()] == ["F 43 %", "M 43 %", "? 14 %"]


@pytest.mark.parametrize(
    ("records", "empty"),
    [
        (index(0), {"Length", "Sampling rate", "Leads", "Splits", "Age and sex", "Visits", "Reports", "Refused"}),
        (index(1), {"Age and sex", "Reports", "Refused"}),
        (index(50, age=pa.nulls(50), sex=pa.nulls(50), report=pa.nulls(50)), {"Age and sex", "Reports", "Refused"}),
        (index(50, sex=["F", "M"] * 25), {"Reports", "Refused"}),
        (index(50, age=np.full(50, 60.0)), {"Reports", "Refused"}),
    ],
)
def test_what_is_not_known_is_said_to_be_missing(records: pa.Table, empty: set[str]) -> None:
    figure = card("A corpus", records, reports(), refusals())
    FigureCanvasAgg(figure).draw()
    assert {str(axes.get_label()) for axes in figure.axes if words(axes) == ["none"]} == empty


def drawn(figure: Figure) -> list[Text]:
    """All words on the page, without the labels of ticks beyond an axis's end."""
    texts = list(figure.texts)
    for axes in figure.axes:
        texts += axes.texts
        texts += legend.get_texts() if (legend := axes.get_legend()) else []
        for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
            low, high = axis.get_view_interval()
            labels = axis.get_ticklabels() if axes.axison else []
            texts += [label for label in labels if low <= label.get_position()[place] <= high]
    return [text for text in texts if text.get_text()]


@pytest.mark.parametrize("tables", [everything(), (index(1), reports(1), refusals("flat lead"))])
def test_no_words_lie_over_others_or_leave_the_page(tables: tuple[pa.Table, pa.Table, pa.Table]) -> None:
    figure = card(r"A corpus of $\mathematics$", *tables)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in drawn(figure)]
    assert len(boxes) > 40
    for word, box in boxes:
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width, word
        assert 0 <= box.y0 < box.y1 <= figure.bbox.height, word
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), (one, other)


def test_a_large_corpus_takes_seconds() -> None:
    draw, rows = np.random.default_rng(0), 800_000
    records = index(
        rows,
        subject=draw.integers(0, 160_000, rows),
        split=np.array(["train", "valid", "test"])[draw.integers(0, 3, rows)],
        seconds=draw.uniform(5, 60, rows),
        age=draw.uniform(18, 100, rows),
        sex=np.array(["F", "M"])[draw.integers(0, 2, rows)],
        report=draw.integers(0, 180_000, rows),
    )
    start = time.process_time()
    FigureCanvasAgg(card("A corpus", records, reports(*draw.geometric(0.2, 180_000).tolist()), refusals())).draw()
    assert time.process_time() - start < 5
