"""The vectors of the distinct reports, as they stand beside shards or in a run's folder. Whoever reads them needs
neither of the libraries that made them, which take seconds to import (embed.py)."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Float32
from safetensors.numpy import load, save

from ecgfm.data.storage import Folder

# On this grid a product is a multiple of 2^-22, and no sum of products of unit vectors passes 2 (Cauchy-Schwarz), so
# float32 holds every partial sum of every inner product without rounding. A similarity is then the same number in any
# order of summation, batch, thread count or machine, and "the farthest" has one answer. It moves a cosine by 2e-4.
GRID = 2.0**-11


@dataclass(frozen=True)
class Embeddings:
    """The row of a report is its number in the report table."""

    vectors: Float16[np.ndarray, "report d"]  # of unit length, on the grid
    model: str  # what made them: its name, and a hash of its weights
    reports: str  # hash of the texts they were made of

    @staticmethod
    def of(vectors: Float32[np.ndarray, "report d"], model: str, texts: Sequence[str]) -> "Embeddings":
        if not np.isfinite(vectors).all():
            raise ValueError(f"{model} gives vectors that are not finite: use another encoder")
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = vectors / np.where(length > 0, length, 1)
        grid = np.rint(unit / GRID) * GRID + 0.0  # there is one zero
        return Embeddings(grid.astype(np.float16), model, hash_of_texts(texts))

    def write(self, folder: Folder, name: str) -> None:
        folder.write(name, save({"vectors": self.vectors}, {"model": self.model, "reports": self.reports}))

    @staticmethod
    def read(folder: Folder, name: str, texts: Sequence[str]) -> "Embeddings":
        content = folder.read(name)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        if header["reports"] != hash_of_texts(texts):
            raise ValueError(f"{name} was made of another report table; embed the reports of this one")
        return Embeddings(load(content)["vectors"], header["model"], header["reports"])


def file_name(encoder: str, texts: Sequence[str]) -> str:
    """Where the vectors of these reports by this encoder stand, in a shard folder or in a run's."""
    of = hashlib.sha256(f"{encoder} {hash_of_texts(texts)}".encode()).hexdigest()[:16]
    return f"vectors/{Path(encoder).name}-{of}.safetensors"


def hash_of_texts(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()
