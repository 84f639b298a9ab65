import io

import numpy as np

from ecgfm.charts import spectra


def test_spectra_are_shares_from_the_largest_down() -> None:
    slope = np.arange(1, 33.0) ** -1
    figure = spectra({"flat": np.full(32, 7.0), "slope": slope[::-1].copy(), "cliff": np.r_[np.ones(4), np.zeros(60)]})
    (panel,) = figure.axes
    lines = {str(line.get_label()): line for line in panel.lines}
    np.testing.assert_allclose(np.asarray(lines["flat"].get_ydata()), 1 / 32)
    np.testing.assert_allclose(np.asarray(lines["slope"].get_ydata()), slope / slope.sum())
    assert [len(np.asarray(lines[name].get_xdata())) for name in ("flat", "slope", "cliff")] == [32, 32, 4]
    assert panel.get_legend() is not None
    references = sorted(
        np.asarray(line.get_ydata())[0] for line in panel.lines if len(np.asarray(line.get_xdata())) == 2
    )
    np.testing.assert_allclose(references, [1 / 64, 1 / 32])
    drawing = io.BytesIO()
    figure.savefig(drawing, format="png")
    assert drawing.tell() > 1000


def test_a_point_has_no_line() -> None:
    (panel,) = spectra({"point": np.zeros(8)}).axes
    assert len(np.asarray(panel.lines[0].get_xdata())) == 0
