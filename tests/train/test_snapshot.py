import json

import pytest
import torch
from safetensors.torch import load, save

from ecgfm.train.snapshot import Snapshot

TENSORS = {
    "weight": torch.arange(6.0).view(2, 3),
    "scale": torch.tensor(2.5),
    "count": torch.tensor(7),
    "mask": torch.tensor([True, False, True]),
    "half": torch.ones(5, dtype=torch.bfloat16),
    "none": torch.zeros(0, 4),
}


def test_it_is_a_safetensors_file() -> None:
    snapshot = Snapshot(TENSORS)
    snapshot.take(TENSORS)
    read = load(snapshot.file().to_pybytes())
    assert read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_tensors_begin_where_their_type_allows() -> None:
    """As in the files that safetensors itself writes; some readers map them into memory."""
    snapshot = Snapshot(TENSORS)
    content = snapshot.file().to_pybytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    theirs = json.loads(save(TENSORS)[8:].split(b"}}")[0] + b"}}")
    assert size % 8 == 0
    for name, tensor in TENSORS.items():
        assert (8 + size + header[name]["data_offsets"][0]) % tensor.itemsize == 0
        assert header[name]["dtype"] == theirs[name]["dtype"]
        assert header[name]["shape"] == theirs[name]["shape"]


def test_what_changes_later_is_not_in_it() -> None:
    live = {"weight": torch.ones(3)}
    snapshot = Snapshot(live)
    snapshot.take(live)
    live["weight"] += 1
    assert torch.equal(load(snapshot.file().to_pybytes())["weight"], torch.ones(3))
    snapshot.take(live)
    assert torch.equal(load(snapshot.file().to_pybytes())["weight"], torch.full((3,), 2.0))


def test_it_has_room_for_its_own_tensors_only() -> None:
    snapshot = Snapshot({"a": torch.ones(1)})
    with pytest.raises(ValueError, match="room for other tensors: b"):
        snapshot.take({"a": torch.ones(1), "b": torch.ones(1)})
