"""The farthest reports of a report, exactly: found by FAISS, and kept, because they are fixed while the vectors are."""

import hashlib
import os
from pathlib import Path

import faiss
import numpy as np
from jaxtyping import Bool, Float16, Float32, Int32, Int64, Num, Shaped

# FAISS searches by matrix products only where queries times dimensions pass this; its own default leaves a batch of
# queries ten times slower.
_BLAS_THRESHOLD = 20
_SPARE = 64  # how many more are searched than asked for, so that ties at the border are seen
_AT_ONCE = 1024
_GPU_WIDTH = 2048  # FAISS finds no more than that on a GPU


def alike(vectors: Shaped[np.ndarray, "report d"]) -> Int64[np.ndarray, "report"]:
    """One number for all reports of equal vectors: those of identical texts, which are never each other's negatives."""
    rows = np.ascontiguousarray(vectors)
    return np.unique(rows.view(f"V{rows.itemsize * rows.shape[1]}").ravel(), return_inverse=True)[1]


class FarIndex:
    """Reports of the training records, by inner product. Equally far ones stand in the order of their numbers.

    With `gpu` the search runs on one, if faiss-gpu is installed and sees it. (Not verified: written without a GPU.)
    """

    def __init__(
        self,
        vectors: Float16[np.ndarray, "report d"],
        use: Num[np.ndarray, "report"],
        threads: int = 1,
        gpu: bool = False,
    ):
        faiss.cvar.distance_compute_blas_threshold = _BLAS_THRESHOLD
        self.threads = threads
        self.vectors, self.alike = vectors, alike(vectors)
        self.candidates = np.flatnonzero(use > 0).astype(np.int32)
        kinds, sizes = np.unique(self.alike[self.candidates], return_counts=True)
        if len(kinds) < 2:
            raise ValueError("far reports are asked of a table in which the training records have one text or none")
        self.longest = len(self.candidates) - int(sizes.max())  # so many every report has
        self.flat = faiss.IndexFlatIP(vectors.shape[1])
        for start in range(0, len(self.candidates), _AT_ONCE):
            self.flat.add(vectors[self.candidates[start : start + _AT_ONCE]].astype(np.float32))
        self.on_gpu = faiss.index_cpu_to_all_gpus(self.flat, ngpu=1) if gpu and faiss.get_num_gpus() else None

    @property
    def name(self) -> str:
        """A hash of all that the far lists depend on."""
        digest = hashlib.sha256(np.ascontiguousarray(self.vectors).data)
        digest.update(self.candidates.data)
        return digest.hexdigest()[:16]

    def far(self, reports: Int64[np.ndarray, "B"], k: int) -> Int32[np.ndarray, "B k"]:
        """The k farthest of each, the farthest first; no report of the same text is among them."""
        if k > self.longest:
            raise ValueError(f"{k} far reports are asked of a table that has {self.longest} for every report")
        far = np.empty((len(reports), k), np.int32)
        rows, width = np.arange(len(reports)), min(k + _SPARE, len(self.candidates))
        while len(rows):
            found, settled = self._ranked(reports[rows], k, width)
            far[rows[settled]] = found[settled]
            rows, width = rows[~settled], min(8 * width, len(self.candidates))
        return far

    def _ranked(
        self, reports: Int64[np.ndarray, "B"], k: int, width: int
    ) -> tuple[Int32[np.ndarray, "B k"], Bool[np.ndarray, "B"]]:
        """The first k of `width` searched, and whether they are sure: a tie that runs past the width leaves it open."""
        nearness, found = self._search(-self.vectors[reports].astype(np.float32), width)
        same = self.alike[self.candidates[found]] == self.alike[reports][:, None]
        order = np.lexsort((found, -nearness, same), axis=-1)[:, :k]
        sure = (~same & (nearness > nearness[:, -1:])).sum(1) >= k
        return self.candidates[np.take_along_axis(found, order, -1)], sure | (width == len(self.candidates))

    def _search(
        self, queries: Float32[np.ndarray, "B d"], width: int
    ) -> tuple[Float32[np.ndarray, "B width"], Int64[np.ndarray, "B width"]]:
        """On as many threads as were given; others who search in this process keep theirs."""
        before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(self.threads)
        try:
            flat = self.on_gpu if self.on_gpu is not None and width <= _GPU_WIDTH else self.flat
            return flat.search(queries, width)
        finally:
            faiss.omp_set_num_threads(before)


class FarLists:
    """The far lists of all reports, each searched when it is first asked for."""

    def __init__(self, index: FarIndex, k: int = 64):
        self.index, self.k = index, k
        self.table = np.full((len(index.vectors), k), -1, np.int32)

    def __getitem__(self, reports: Int64[np.ndarray, "B"]) -> Int32[np.ndarray, "B k"]:
        unknown = np.unique(reports[self.table[reports, 0] < 0])
        if len(unknown):
            self.table[unknown] = self.index.far(unknown, self.k)
        return self.table[reports]

    def build(self, folder: Path) -> Int32[np.ndarray, "report k"]:
        """All of them, as a file that any process can map into memory; a file that is there already is only opened."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"far-{self.k}-{self.index.name}.npy"
        if not path.exists():
            for start in range(0, len(self.table), _AT_ONCE):
                self[np.arange(start, min(start + _AT_ONCE, len(self.table)))]
            partial = path.with_suffix(f".{os.getpid()}.npy")
            np.save(partial, self.table)
            partial.replace(path)
        return np.load(path, mmap_mode="r")
