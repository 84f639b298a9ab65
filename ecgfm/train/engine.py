"""The plain torch engine: forward, backward, one look at the figures, update. One process or several.

Precision. In bf16 the matrix products run under autocast; weights, gradients, moments and the sums of the losses stay
fp32. Pure bf16 weights would save memory that a model of this size does not need, and lose every update smaller than
1/256 of its weight, which at these learning rates is most of them. A checkpoint is the same in both.

Several processes. Every process computes the terms from its slice of the world batch, and losses that look across the
batch gather it themselves; the mean of the gradients over processes is then that of the world batch. Gradients live in
one buffer, which makes averaging, norm and clipping one operation each, and are averaged after backward, not during it:
losses have collectives of their own in there, and two streams of collectives can wait for each other for ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from jaxtyping import Float, Float32
from torch import Tensor, nn

from ecgfm import draw
from ecgfm.batch import Batch
from ecgfm.losses.gather import total, world
from ecgfm.run import Optimizer
from ecgfm.train.checkpoint import State
from ecgfm.train.optim import adamw

_LINE = 16  # numbers: every gradient begins on a multiple of 64 bytes
_PIECE = 1 << 25  # numbers averaged at once: 128 MB
_ROW = 1 << 16  # numbers whose squares are summed at once: over many millions, sums in fp32 on a CPU lose digits


class NonFiniteError(ArithmeticError):
    """Figures of a step that are not finite. The update was not made."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(names)  # an error is made anew from these when it comes from another process
        self.names = names

    def __str__(self) -> str:
        return ", ".join(self.names)


@dataclass
class Gradients:
    """The gradients of all parameters that learn, as views into one buffer."""

    buffer: Float32[Tensor, " n"]

    @staticmethod
    def of(parameters: list[nn.Parameter]) -> "Gradients":
        sizes = [-(-p.numel() // _LINE) * _LINE for p in parameters]
        buffer = torch.zeros(sum(sizes), device=parameters[0].device)
        start = 0
        for p, size in zip(parameters, sizes, strict=True):
            p.grad = buffer[start : start + p.numel()].view_as(p)
            start += size
        return Gradients(buffer)

    def average(self) -> None:
        for piece in self.buffer.split(_PIECE):
            dist.all_reduce(piece)
        self.buffer /= dist.get_world_size()


@runtime_checkable
class Engine(Protocol):
    """What a loop asks of an engine: this one's, or `ecgfm.train.zero`'s."""

    device: torch.device
    model: nn.Module
    rank: int
    workers: int

    def __call__(self, batch: Batch, seed: int) -> tuple[Tensor, dict[str, Tensor]]: ...
    def step(self, loss: Tensor, terms: Mapping[str, Tensor], factor: float) -> dict[str, float]: ...
    def mean(self, values: Tensor) -> Tensor: ...
    def state(self) -> dict[str, dict[str, Tensor]]: ...
    def load(self, state: State, partly: bool = False) -> list[str]: ...
    def agree(self, value: int) -> int: ...
    def gradient_of(self, term: Tensor) -> Tensor: ...


class TorchEngine:
    """Wraps `Pretraining`, or any module that maps (batch, seed) to a loss and its terms."""

    def __init__(
        self,
        model: nn.Module,
        groups: Mapping[str, Sequence[nn.Parameter]],
        config: Optimizer,
        device: str = "cpu",
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device).train()
        self.clip, self.bf16 = config.clip, precision == "bf16"
        self.workers = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimizer = adamw(model, groups, config)
        self.gradients = Gradients.of(list(self.learning.values()))
        if self.workers > 1:
            for tensor in (*model.parameters(), *model.buffers()):
                dist.broadcast(tensor.detach(), 0)

    def __call__(self, batch: Batch, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and terms of this process's slice. What a user's method draws from torch's generator repeats as well."""
        torch.manual_seed(int(draw.generator("torch", seed, self.rank).integers(2**63)))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return self.model(batch.to(self.device), seed)

    def step(self, loss: Tensor, terms: Mapping[str, Tensor], factor: float) -> dict[str, float]:
        """Backward and update, at `factor` times the highest rates. Loss, terms and gradient norm of the world batch.

        They are looked at once, before the update: where one is not finite, nothing is changed.
        """
        loss.backward()
        means = self.mean(torch.stack([loss, *terms.values()]))
        if self.workers > 1:
            self.gradients.average()
        try:
            figures = finite(("loss", *terms, "gradient"), torch.cat([means, norm([self.gradients.buffer])[None]]))
        except NonFiniteError:
            self.gradients.buffer.zero_()
            raise
        self._update(figures["gradient"], factor)
        return figures

    def _update(self, norm: float, factor: float) -> None:
        if self.clip is not None and norm > self.clip:
            self.gradients.buffer *= self.clip / norm
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        self.optimizer.step()
        self.gradients.buffer.zero_()

    def mean(self, values: Tensor) -> Float32[Tensor, " n"]:
        """The mean over processes."""
        return mean(values)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """All that a restart needs, by name: the tensors in use. Parameters that do not learn are left out."""
        moments = {f"{n}/{key}": t for n, p in self.learning.items() for key, t in self.optimizer.state[p].items()}
        return {"model": {n: p.detach() for n, p in self.learning.items()} | kept(self.model), "optimizer": moments}

    def load(self, state: State, partly: bool = False) -> list[str]:
        """Take over a state by name. `partly`: what it does not hold stays as it is, and is returned by name."""
        own = self.state()
        shapes = {part: {name: t.shape for name, t in tensors.items()} for part, tensors in own.items()}
        absent = missing(shapes, state, partly)
        for part, tensors in own.items():
            held = state.get(part, {})
            for name in tensors.keys() & held.keys():
                tensors[name].copy_(held[name])
        made = updates(state)
        for moments in self.optimizer.state.values() if made is not None else ():
            moments["step"].fill_(made)
        return absent

    def agree(self, value: int) -> int:
        """What the first process says."""
        return first_says(value, self.device)

    def gradient_of(self, term: Tensor) -> Float32[Tensor, " n"]:
        """The gradient of one term on this process, for finding fault; its graph stays."""
        if term.requires_grad:
            term.backward(retain_graph=True)
        gradient = self.gradients.buffer.clone()
        self.gradients.buffer.zero_()
        return gradient


def finite(names: Sequence[str], values: Float32[Tensor, " n"]) -> dict[str, float]:
    """The figures of a step; raises where one is not finite."""
    figures = dict(zip(names, values.tolist(), strict=True))
    bad = [name for name, value in figures.items() if not abs(value) < float("inf")]
    if bad:
        raise NonFiniteError(bad)
    return figures


def mean(values: Float[Tensor, " n"]) -> Float32[Tensor, " n"]:
    """The mean over processes."""
    return total(values.detach().float()) / world()


def norm(parts: Sequence[Tensor]) -> Float32[Tensor, ""]:
    """The norm of all parts as one."""
    return torch.nn.utils.get_total_norm([row for part in parts for row in part.flatten().split(_ROW)])


def first_says(value: int, device: torch.device) -> int:
    """What the first process says."""
    said = torch.tensor(value, device=device)
    if world() > 1:
        dist.broadcast(said, 0)
    return int(said)


def kept(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that belong to a model's state."""
    persistent = model.state_dict().keys()
    return {name: b for name, b in model.named_buffers() if name in persistent}


def missing(shapes: Mapping[str, Mapping[str, torch.Size]], state: State, partly: bool) -> list[str]:
    """What a state does not hold of what is asked for; raises where it does not fit."""
    absent = []
    for part, tensors in shapes.items():
        held = state.get(part, {})
        absent += [f"{part}: {name}" for name in tensors if name not in held]
        odd = [n for n in tensors.keys() & held.keys() if tensors[n] != held[n].shape]
        if odd:
            was, now = tuple(held[odd[0]].shape), tuple(tensors[odd[0]])
            raise ValueError(f"{odd[0]} has the shape {now} here and {was} in the checkpoint: the recipes do not fit")
        if not partly and tensors.keys() != held.keys():
            raise ValueError(f"the checkpoint is of another model: {min(tensors.keys() ^ held.keys())} is in one only")
    return absent


def updates(state: State) -> float | None:
    """How many updates a state has seen, or None where it has no moments. One number holds for all parameters.

    One that a checkpoint lacks begins without moments at the others' number, and its update k is then
    (1 - b1^k) / sqrt(1 - b2^k) times as long as in a run of its own: 1.6 at most, with betas 0.9 and 0.98.
    """
    return max((float(t) for name, t in state.get("optimizer", {}).items() if name.endswith("/step")), default=None)
