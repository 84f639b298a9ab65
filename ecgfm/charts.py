"""The spectrum of embeddings: how much each direction holds."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from ecgfm.picture import FAINT

_LEAST = 1e-8  # shares below it are rounding, and are not drawn


def spectra(eigenvalues: Mapping[str, Float[np.ndarray, "_"]]) -> Figure:
    """One line for each, from the largest eigenvalue down, as shares of their sum: flat where all directions hold as
    much, a slope where a power of the rank is left, a cliff where directions are not used. Thin lines: what flat is."""
    figure = Figure((7.0, 4.5), layout="constrained")
    panel = figure.subplots()
    for number, (name, values) in enumerate(eigenvalues.items()):
        share = np.sort(values)[::-1] / max(float(values.sum()), np.finfo(float).tiny)
        rank = np.arange(1, len(share) + 1)
        panel.plot(rank[share > _LEAST], share[share > _LEAST], color=f"C{number}", label=name)
    for width in sorted({len(values) for values in eigenvalues.values()}):
        panel.plot([1, width], [1 / width] * 2, color=FAINT, linewidth=0.6, zorder=0)
    panel.set(xscale="log", yscale="log", xlabel="rank of the eigenvalue", ylabel="share of all variance")
    panel.legend(fontsize=8)
    return figure
