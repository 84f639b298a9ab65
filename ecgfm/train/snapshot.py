"""A safetensors file that is kept laid out in memory, so that taking a snapshot is one copy of each tensor.

The tensors are copied to where they will lie in the file, and the file is then written from that memory by a thread
while training goes on. From a GPU the copies run at full speed, as the memory is pinned, and nobody waits for them but
that thread.
"""

import json
from collections.abc import Mapping

import pyarrow as pa
import torch
from torch import Tensor

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class Snapshot:
    """Room for tensors of these names, shapes and types, in the safetensors format."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        # the widest types first: then every tensor begins on a multiple of its type's size, as readers may require
        order = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
        ends, end = {}, 0
        for name in order:
            end += tensors[name].nbytes
            ends[name] = end
        entries = {
            name: {
                "dtype": _NAMES[tensors[name].dtype],
                "shape": list(tensors[name].shape),
                "data_offsets": [ends[name] - tensors[name].nbytes, ends[name]],
            }
            for name in order
        }
        text = json.dumps({"__metadata__": {"format": "pt"}, **entries}, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % 64)
        header = len(text).to_bytes(8, "little") + text
        self._cuda = any(t.is_cuda for t in tensors.values())
        self._memory = torch.empty(len(header) + end, dtype=torch.uint8, pin_memory=self._cuda)
        self._memory[: len(header)] = torch.frombuffer(bytearray(header), dtype=torch.uint8)
        body = self._memory[len(header) :]
        self._views = {
            name: body[ends[name] - t.nbytes : ends[name]].view(t.dtype).view(t.shape) for name, t in tensors.items()
        }
        self._copied: torch.cuda.Event | None = None

    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy these tensors as they are now; on a GPU, as they are when the work queued so far is done."""
        if tensors.keys() != self._views.keys():
            raise ValueError(f"a snapshot has room for other tensors: {sorted(tensors.keys() ^ self._views.keys())[0]}")
        for name, tensor in tensors.items():
            self._views[name].copy_(tensor, non_blocking=True)
        if self._cuda:
            self._copied = torch.cuda.Event()
            self._copied.record()

    def file(self) -> pa.Buffer:
        """The file's bytes, in place, once they are all there."""
        if self._copied:
            self._copied.synchronize()
        return pa.py_buffer(self._memory.numpy())
