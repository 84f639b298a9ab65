"""Is a downloaded corpus what its publisher put there? SHA256SUMS says, where there is one."""

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

from ecgfm.data.storage import Folder, StoreError

NAMES = ("SHA256SUMS.txt", "SHA256SUMS")
_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(\S.*)")
_BLOCK, _PIECE = 4096, 1 << 22  # files under way at once; bytes read at once

State = Literal["ok", "changed", "missing", "unreadable"]


def verify(source: Folder) -> Iterator[tuple[str, State]]:
    """Every file that the publisher lists and how it stands, in the publisher's order."""
    name = next(filter(source.exists, NAMES), None)
    if name is None:
        raise FileNotFoundError(
            f"neither {' nor '.join(NAMES)} in {source}: the publisher of this corpus gives no such file, "
            "or it was not downloaded; ecgfm/data/corpora.md says how each corpus is checked"
        )
    listed = [_parse(line, name) for line in source.read(name).decode().splitlines() if line.strip()]
    with ThreadPoolExecutor() as pool:  # hashing and reading let other threads run
        for start in range(0, len(listed), _BLOCK):
            yield from pool.map(partial(_state, source), listed[start : start + _BLOCK])


def _parse(line: str, name: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise ValueError(f"{name} holds a line that is not a checksum and a file name: download it again")
    return match[1].lower(), match[2]


def _state(source: Folder, listed: tuple[str, str]) -> tuple[str, State]:
    """One file of a million that a disk cannot read says nothing of the others; a store that is away does."""
    expected, name = listed
    digest = hashlib.sha256()
    try:
        if source.size(name) is None:
            return name, "missing"
        with source.file(name) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except StoreError:
        raise
    except OSError:
        return name, "unreadable"
    return name, "ok" if digest.hexdigest() == expected else "changed"
