"""The one record that crosses borders: a batch of recordings as integers, with what is needed to read them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int16, Int32, Int64
from torch import Tensor

SHARD_BITS, ROW_BITS = 20, 20


Number = TypeVar("Number", int, np.ndarray)


def record_id(corpus: Number, shard: Number, row: Number) -> Number:
    """A record's number: where it stands, and nothing about whom it is of."""
    return (corpus << (SHARD_BITS + ROW_BITS)) | (shard << ROW_BITS) | row


def locate(record: Number) -> tuple[Number, Number, Number]:
    """(corpus, shard, row) of a record's number."""
    return (
        record >> (SHARD_BITS + ROW_BITS),
        (record >> ROW_BITS) & ((1 << SHARD_BITS) - 1),
        record & ((1 << ROW_BITS) - 1),
    )


class Channels(NamedTuple):
    """Channels of another kind beside the ECG, at a rate of their own; a record that has none holds none of `leads`."""

    signal: Int16[Tensor, "B C S"]
    scale: Float32[Tensor, "B C"]
    offset: Float32[Tensor, "B C"]
    leads: Bool[Tensor, "B C"]
    length: Int32[Tensor, "B"]


@dataclass(frozen=True)
class Batch:
    """B records of L leads and T samples. Millivolts are signal * scale + offset, and that is computed on the device.

    Samples at or past `length`, leads not in `leads` and words at or past `word_count` are padding: they hold zeros,
    and no result may depend on them.
    """

    record: Int64[Tensor, "B"]
    subject: Int64[Tensor, "B"]
    report: Int64[Tensor, "B"]  # number in the report table, -1 for none
    signal: Int16[Tensor, "B L T"]
    scale: Float32[Tensor, "B L"]
    offset: Float32[Tensor, "B L"]
    leads: Bool[Tensor, "B L"]
    length: Int32[Tensor, "B"]
    words: Int32[Tensor, "B W"]
    word_count: Int32[Tensor, "B"]
    # For methods that ask for negatives: a report unlike the record's own, -1 for none.
    far_report: Int64[Tensor, "B"] | None = None
    far_words: Int32[Tensor, "B W"] | None = None
    far_word_count: Int32[Tensor, "B"] | None = None
    # For methods that ask for channels of another kind ("ppg", ...): by kind.
    others: Mapping[str, Channels] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.record)

    def __getitem__(self, rows: slice | Tensor) -> "Batch":
        return self._each(lambda column: column[rows])

    def to(self, device: torch.device | str) -> "Batch":
        return self._each(lambda column: column.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        columns = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "others"}
        changed = {name: change(column) for name, column in columns.items() if column is not None}
        others = {kind: Channels(*map(change, channels)) for kind, channels in self.others.items()}
        return replace(self, **changed, others=others)
