"""MAT files of version 5, as far as CPSC 2018 needs them: one struct of numbers and texts.

scipy.io.loadmat ends the process on some damaged files, without an exception. This reads no byte that is not there.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Num

_HEADER = 128  # bytes; the last two say the order of bytes
_LARGEST = 1 << 28  # bytes that an element may hold once it is decompressed; a minute of CPSC 2018 holds 3 MB
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _CHAR, _NUMERIC = 2, 4, range(6, 16)
_NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
_TEXTS = {1: "ascii", 2: "ascii", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}

Value = Num[np.ndarray, "..."] | str


def read(content: bytes, name: str) -> dict[str, Value]:
    """The fields of the struct of that name; a ValueError where there is none, or one that does not hold."""
    if content[_HEADER - 2 : _HEADER] != b"IM":
        raise ValueError("no MAT file of version 5 with little-endian numbers")
    try:
        for kind, element in _elements(memoryview(content)[_HEADER:]):
            matrix = _decompressed(element) if kind == _COMPRESSED else element
            flags, _, title, *rest = _elements(matrix)
            if _text(title) == name and flags[1][0] == _STRUCT:
                return _fields([data for _, data in rest])
    except (struct.error, zlib.error, KeyError, IndexError) as error:
        raise ValueError(f"the MAT file is damaged: {type(error).__name__}") from None
    raise ValueError("the MAT file holds no such struct")


def _elements(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Type and data of each element; those of up to four bytes have their length in the type."""
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from("<II", content, at)
        small = kind >> 16
        start, size = (at + 4, small) if small else (at + 8, size)
        if small > 4 or start + size > len(content):
            raise ValueError("the MAT file is damaged: an element reaches past its end")
        yield kind & 0xFFFF, content[start : start + size]
        at = at + 8 if small else start + size + (0 if kind == _COMPRESSED else -size % 8)


def _decompressed(element: memoryview) -> memoryview:
    """The one matrix within, which has a tag of its own."""
    content = zlib.decompressobj().decompress(element, _LARGEST)
    kind, matrix = next(_elements(memoryview(content)), (None, element))
    if kind != _MATRIX:
        raise ValueError("the MAT file is damaged: no matrix where one should be")
    return matrix


def _fields(parts: list[memoryview]) -> dict[str, Value]:
    width, names, values = int.from_bytes(parts[0], "little"), bytes(parts[1]), parts[2:]
    titles = [names[i : i + width].split(b"\0")[0].decode("ascii") for i in range(0, len(names), max(width, 1))]
    return {title: _value(matrix) for title, matrix in zip(titles, values, strict=True)}


def _value(matrix: memoryview) -> Value:
    flags, dimensions, _, data, *_ = _elements(matrix)
    if flags[1][0] == _CHAR:
        return _text(data)
    if flags[1][0] not in _NUMERIC:
        raise ValueError("the MAT file holds a field that is neither text nor numbers")
    shape = np.frombuffer(dimensions[1], "<i4")
    return np.frombuffer(data[1], _NUMBERS[data[0]]).reshape(shape, order="F")


def _text(element: tuple[int, memoryview]) -> str:
    return bytes(element[1]).decode(_TEXTS[element[0]])
