"""Pretraining ECG foundation models at scale."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecgfm.embedder import Embedder


def load(path: str, device: str = "auto") -> "Embedder":
    """The towers of a run, or of a folder that they were moved to: a path or an object-store URI."""
    from ecgfm.embedder import load  # only now: this takes seconds, and `import ecgfm` none

    return load(path, device)
