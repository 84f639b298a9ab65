"""Random numbers as a pure function of (seed, purpose, record): the same on one GPU and on a thousand."""

import zlib

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

# The splitmix64 constants, written as signed 64-bit integers because torch has no unsigned arithmetic.
_MIX_1, _MIX_2, _GOLDEN = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15, -0x61C8864680B583EB


def _mix(x: Tensor) -> Tensor:
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _MIX_1
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def uniform(seed: int, purpose: str, record: Int64[Tensor, "B"], count: int) -> Float32[Tensor, "B count"]:
    """`count` numbers in [0, 1) per record."""
    return numbers(keys(seed, purpose, record), count)


def keys(seed: int, purpose: str, record: Int64[Tensor, "B"]) -> Int64[Tensor, "B"]:
    """What a record's numbers for a purpose follow from, as a tensor: compiled code may take it as an input."""
    key = zlib.crc32(f"{seed}/{purpose}".encode())
    return _mix((record ^ (key << 24)) * _GOLDEN + key)


def fold(key: Int64[Tensor, "B"] | None, number: int) -> Int64[Tensor, "B"] | None:
    """The keys of the part called `number` of what these keys are for; None, no randomness, stays None."""
    return None if key is None else _mix(key ^ _mix(key.new_full((1,), number + 1) * _MIX_1))


def numbers(key: Int64[Tensor, "B"], count: int) -> Float32[Tensor, "B count"]:
    """`count` numbers in [0, 1) per key."""
    mixed = _mix(key[:, None] + (torch.arange(count, device=key.device) + 1) * _GOLDEN)
    return ((mixed >> 40) & 0xFFFFFF).float() / (1 << 24)


def generator(*key: int | str) -> np.random.Generator:
    """A numpy generator that is a function of its key alone; counter-based, so making one costs microseconds."""
    words = [part if isinstance(part, int) else zlib.crc32(part.encode()) for part in key]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
