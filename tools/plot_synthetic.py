"""A page of synthetic examples, one per finding and one of none, for a cardiologist's eye."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ecgfm import picture
from ecgfm.data.record import LEADS
from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.data.synthetic.people import visits
from ecgfm.data.synthetic.recording import record
from ecgfm.data.synthetic.visit import Visit

GAIN, SEARCHED = 200, 5000
SHRINK = 3  # picture.DPI to a page that a browser opens


def main(
    to: Path, findings: tuple[str, ...] = FINDINGS, severity: tuple[float, float] = (0.75, 1.0), seed: int = 1
) -> None:
    """Write a PNG.

    Args:
        to: the file.
        findings: which to show, in rows of three.
        severity: within which range; 0.5 is the threshold.
        seed: of the corpus that the examples come from.
    """
    seen = list(visits(seed, SEARCHED))
    pages = [_page(finding, _example(finding, severity, seen)) for finding in findings]
    pages += [np.full_like(pages[0], 255)] * (-len(pages) % 3)
    rows = [np.concatenate(pages[i : i + 3], axis=1) for i in range(0, len(pages), 3)]
    plt.imsave(to, np.concatenate(rows))
    print(f"{to}: {', '.join(findings)}")


def _example(finding: str, severity: tuple[float, float], seen: list[Visit]) -> Visit:
    """The visit in which the finding stands most alone."""
    others = [f for f in FINDINGS if f not in (finding, "sinus_rhythm")]

    def besides(visit: Visit) -> float:
        build = visit.subject.build
        peculiar = np.abs([*build.junction, *build.narrow_q]).sum()
        return sum(max(0.0, visit.severity[f] - 0.3) for f in others) + float(peculiar)

    return min((v for v in seen if severity[0] <= v.severity[finding] <= severity[1]), key=besides)


def _page(finding: str, visit: Visit) -> np.ndarray:
    drawn = record(visit)
    signal = (drawn.digital(GAIN) / np.float32(GAIN)).astype(np.float32)
    words = [f"{finding} {visit.severity[finding]:.2f}", f"{visit.rate:.0f}/min", f"PR {visit.pr:.0f}"]
    words += [f"QRS {visit.qrs:.0f}", f"QT {visit.qt(visit.qrs):.0f} ms", f"axis {visit.axis:.0f}"]
    figure = picture.ecg(signal, drawn.rate, LEADS, ", ".join(words))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    height, width = (side // SHRINK * SHRINK for side in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // SHRINK, SHRINK, width // SHRINK, SHRINK, 3)
    return blocks.mean(axis=(1, 3)).astype(np.uint8)


if __name__ == "__main__":
    tyro.cli(main)
