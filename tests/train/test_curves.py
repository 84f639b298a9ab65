import json
from pathlib import Path

import numpy as np
import pytest

from ecgfm.train.curves import plot


def made(folder: Path, name: str, steps: int, **figures: float) -> str:
    (folder / name).mkdir()
    lines = [
        {"step": step, "loss": 1 / step, "rate": 1.0, "time/clock": 0.0, **figures} for step in range(1, steps + 1)
    ]
    lines[3]["loss"] = None
    (folder / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / name / "run.json").write_text(json.dumps({"launches": [{"step": 0}, {"step": 5}]}))
    return str(folder / name)


def test_every_figure_has_a_panel_with_all_runs(tmp_path: Path) -> None:
    one, two = made(tmp_path, "a@1", 200), made(tmp_path, "b@1", 10, **{"held-out/loss": 0.5})
    figure = plot([one, two])
    panels = {panel.get_title(): panel for panel in figure.axes if panel.get_title()}
    assert list(panels) == ["loss", "held-out/loss", "rate"]
    assert [text.get_text() for text in panels["loss"].get_legend().get_texts()] == ["a@1", "b@1"]
    lines = panels["loss"].get_lines()
    assert [line.get_linestyle() for line in lines].count(":") == 2  # one start again for each run
    faint, smooth, again, short, _ = lines
    assert len(faint.get_xdata()) == 199  # of 200, less the one that was not finite
    assert np.ptp(smooth.get_ydata()) < np.ptp(faint.get_ydata())
    assert list(again.get_xdata()) == [5, 5]
    assert list(short.get_xdata()) == [1, 2, 3, 5, 6, 7, 8, 9, 10]
    figure.savefig(tmp_path / "curves.png")


def test_a_folder_without_metrics_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"elsewhere: no metrics\.jsonl"):
        plot([str(tmp_path / "elsewhere")])
