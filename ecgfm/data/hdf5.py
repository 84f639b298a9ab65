"""Tracings of the CODE corpora: one HDF5 data set of many records, padded with zeros at both ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import cast

import h5py
import numpy as np
from jaxtyping import Num

from ecgfm.data.quality import Refusal
from ecgfm.data.storage import Folder, StoreError


@lru_cache(maxsize=32)  # CODE-15 has 18 files, and records are read from all of them in turn
def _opened(source: Folder, name: str) -> h5py.File:
    try:
        return h5py.File(source.path(name) if source.is_local else source.file(name), "r")
    except OSError as error:
        if _is_of_the_disk(error, source):
            raise
        raise ValueError(f"{name} in {source} is no HDF5 file, or not a whole one: get it again") from None


def _is_of_the_disk(error: OSError, source: Folder) -> bool:
    """Not of what the file holds, and so worth another try: HDF5's own errors have no number. A store's have none
    either, so that all of its errors count as such."""
    return bool(error.errno) or not source.is_local


@contextmanager
def told(source: Folder, name: str) -> Iterator[None]:
    """Where a file is read for the list of records, which is not tried again: what went wrong, by class."""
    try:
        yield
    except (FileNotFoundError, StoreError):
        raise
    except OSError as error:
        raise ValueError(
            f"{name} in {source} cannot be opened ({type(error).__name__}): look at its rights, at the disk or the "
            "store, and whether it is whole; then give the same command again"
        ) from None


def dataset(source: Folder, name: str, key: str) -> h5py.Dataset:
    file = _opened(source, name)
    if key not in file:
        raise ValueError(f"{name} in {source} holds no data set {key!r}")
    return cast(h5py.Dataset, file[key])


def tracing(source: Folder, path: str) -> Num[np.ndarray, "12 time"]:
    """Row r of the data set `tracings` of a file, from a path "file.hdf5#r", without its padding."""
    name, row = path.rsplit("#", 1)
    try:
        tracings = dataset(source, name, "tracings")
        if not 0 <= int(row) < len(tracings):
            raise Refusal("missing-file", "the HDF5 file has no such row")
        samples = tracings[int(row)]
    except FileNotFoundError:
        raise Refusal("missing-file", "HDF5 file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and _is_of_the_disk(error, source):
            raise
        raise Refusal("unreadable-signal", "the HDF5 file, or this row of it, does not decode") from None
    if samples.ndim != 2 or samples.shape[1] != 12:
        raise Refusal("unreadable-signal", "a row of the HDF5 file is not of twelve leads")
    return trimmed(np.ascontiguousarray(samples.T))


def trimmed(samples: Num[np.ndarray, "lead padded"]) -> Num[np.ndarray, "lead time"]:
    """Without the samples at both ends at which every lead is zero."""
    heard = np.flatnonzero(samples.any(axis=0))
    return samples[:, heard[0] : heard[-1] + 1] if len(heard) else samples[:, :0]
