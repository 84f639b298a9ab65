"""Every distinct report as word numbers: tokenised once, looked up by report_id ever after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64
from safetensors.numpy import load, save

from ecgfm.data.storage import Folder

_ROUND = 16  # words of a batch are padded to a multiple of this, so that shapes repeat


@dataclass(frozen=True)
class TokenTable:
    """Report i is words[ends[i - 1] : ends[i]]. The last entry is the empty report: what report_id -1 means."""

    words: Int32[np.ndarray, "total"]
    starts: Int64[np.ndarray, "reports"]
    counts: Int32[np.ndarray, "reports"]

    @staticmethod
    def build(texts: Sequence[str], encode: Callable[[list[str]], list[list[int]]], limit: int) -> "TokenTable":
        """`encode` turns texts into word numbers. Of a report longer than `limit` words, the first ones and the
        last one, which is the end mark, are kept."""
        parts = [ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]] for ids in encode([*texts, ""])]
        if not parts[-1]:
            raise ValueError("the tokenizer gives no word for an empty report: it must add an end mark or a start mark")
        counts = np.array([len(ids) for ids in parts], np.int32)
        words = np.fromiter((word for ids in parts for word in ids), np.int32, counts.sum())
        return TokenTable(words, np.cumsum(counts, dtype=np.int64) - counts, counts)

    def lookup(self, reports: Int64[np.ndarray, "B"]) -> tuple[Int32[np.ndarray, "B W"], Int32[np.ndarray, "B"]]:
        counts = self.counts[reports]
        width = -(-int(counts.max()) // _ROUND) * _ROUND
        column = np.arange(width)
        inside = column < counts[:, None]
        index = np.where(inside, self.starts[reports][:, None] + column, 0)
        return np.where(inside, self.words[index], 0).astype(np.int32), counts

    def write(self, folder: Folder, name: str) -> None:
        folder.write(name, save({"words": self.words, "starts": self.starts, "counts": self.counts}))

    @staticmethod
    def read(folder: Folder, name: str) -> "TokenTable":
        return TokenTable(**load(folder.read(name)))
