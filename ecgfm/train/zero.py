"""The DeepSpeed engine: ZeRO stages 0 to 3, with the same results as the torch engine, and the same checkpoints.

What a process keeps a part of: at stage 1 the moments, at 2 the gradients too, at 3 the weights too; at stage 0
nothing. At 1 and 2 it holds its part of the weights twice, which on one process costs more than is saved.

Precision. bf16 means here what it means in the torch engine: products under autocast, all else fp32. DeepSpeed's own
bf16 would keep the weights and average the gradients in bf16: another curve, and another one at every number of
workers. With autocast a curve stays within 2 % of the torch engine's over the first steps (tests/train/test_zero.py);
that is as far as the torch engine's own on two processes is from that on one.

Collectives. Gradients are averaged by hooks during backward, between the collectives of the losses. Nothing overlaps:
all run in the order in which backward comes to them, and that is the same in every process.
"""

import logging
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Literal

import torch
import torch.distributed as dist
from jaxtyping import Float32
from torch import Tensor, nn

from ecgfm import draw
from ecgfm.batch import Batch
from ecgfm.losses.gather import total
from ecgfm.run import Optimizer
from ecgfm.train.checkpoint import State
from ecgfm.train.engine import NonFiniteError, finite, first_says, kept, mean, missing, norm, updates
from ecgfm.train.optim import adamw

_PIECE = 1 << 25  # numbers averaged at once: 128 MB
_MOMENTS = ("exp_avg", "exp_avg_sq")


class DeepSpeedEngine:
    """Wraps `Pretraining`, or any module that maps (batch, seed) to a loss and its terms. Of `ecgfm.train.engine`."""

    def __init__(
        self,
        model: nn.Module,
        groups: Mapping[str, Sequence[nn.Parameter]],
        config: Optimizer,
        device: str,
        precision: Literal["fp32", "bf16"],
        stage: Literal[0, 1, 2, 3],
    ) -> None:
        self.device, self.clip, self.stage = torch.device(device), config.clip, stage
        self.model = model.to(self.device).train()
        self.learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._shapes = {name: p.shape for name, p in self.learning.items()}  # at stage 3 a parameter loses its own
        deepspeed = _deepspeed(self.device)
        self.workers, self.rank = dist.get_world_size(), dist.get_rank()
        self._loss = _Loss(model, self.device.type, precision == "bf16")
        optimizer = adamw(model, groups, config)
        if stage:
            optimizer.state.clear()  # each process keeps its part alone: see _begin
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
        settings = _settings(stage, sum(p.numel() for p in self.learning.values()))
        self._engine, self._optimizer, *_ = deepspeed.initialize(
            model=self._loss, optimizer=optimizer, config=settings, dist_init_required=False
        )
        if stage:
            self._begin()

    def __call__(self, batch: Batch, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and terms of this process's slice. What a user's method draws from torch's generator repeats as well."""
        torch.manual_seed(int(draw.generator("torch", seed, self.rank).integers(2**63)))
        return self._engine(batch.to(self.device), seed), self._loss.terms

    def step(self, loss: Tensor, terms: Mapping[str, Tensor], factor: float) -> dict[str, float]:
        """Backward and update, at `factor` times the highest rates. Loss, terms and gradient norm of the world batch.

        They are looked at once, before the update: where one is not finite, nothing is changed.
        """
        self._engine.backward(loss)
        means, gradients = self.mean(torch.stack([loss, *terms.values()])), self._gradients()
        length = norm(gradients)
        if self.stage:
            length = total(length.square()).sqrt()
        try:
            figures = finite(("loss", *terms, "gradient"), torch.cat([means, length[None]]))
        except NonFiniteError:
            self._forget_gradients()
            raise
        if self.clip is not None and figures["gradient"] > self.clip:
            torch._foreach_mul_(gradients, self.clip / figures["gradient"])  # type: ignore[attr-defined]
        for group in self._optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        self._engine.step()
        return figures

    def _gradients(self) -> list[Tensor]:
        """What this process has of the averaged gradient, as the update will take it."""
        if not self.stage:
            return [p.grad for p in self.learning.values() if p.grad is not None]
        return [part for group in self._optimizer.averaged_gradients.values() for part in group]

    def _forget_gradients(self) -> None:
        self._engine.zero_grad()
        self._optimizer.zero_grad()
        if self.stage:
            self._optimizer.averaged_gradients.clear()

    def mean(self, values: Tensor) -> Float32[Tensor, " n"]:
        """The mean over processes."""
        return mean(values)

    def agree(self, value: int) -> int:
        """What the first process says."""
        return first_says(value, self.device)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """All that a restart needs, by name, as the torch engine gives it; in the first process, the others take part.

        What is spread over processes is put together one tensor after another, in the memory of the CPU.
        """
        model = {name: self._whole(name, "weight") for name in self.learning}
        moments = {f"{name}/{key}": self._whole(name, key) for name in self.learning for key in _MOMENTS}
        steps = {f"{name}/step": self._states[0]["step"] for name in self.learning}
        if self.rank:
            return {"model": {}, "optimizer": {}}
        return {"model": model | kept(self.model), "optimizer": moments | steps}

    def load(self, state: State, partly: bool = False) -> list[str]:
        """Take over a state by name. `partly`: what it does not hold stays as it is, and is returned by name."""
        buffers = kept(self.model)
        sizes = {f"{n}/{key}": size for n, size in self._shapes.items() for key in _MOMENTS}
        sizes |= {f"{name}/step": torch.Size() for name in self.learning}
        shapes = {"model": self._shapes | {n: b.shape for n, b in buffers.items()}, "optimizer": sizes}
        absent = missing(shapes, state, partly)
        weights, moments = state.get("model", {}), state.get("optimizer", {})
        for name in buffers.keys() & weights.keys():
            buffers[name].copy_(weights[name])
        for name in self.learning:
            self._take(name, "weight", weights.get(name))
            for key in _MOMENTS:
                self._take(name, key, moments.get(f"{name}/{key}"))
        if (made := updates(state)) is not None:
            for held in self._states:
                held["step"].fill_(made)
        self._spread()
        return absent

    def gradient_of(self, term: Tensor) -> Float32[Tensor, " n"]:
        """The gradient of one term on this process, for finding fault; its graph stays."""
        if not term.requires_grad:
            return torch.zeros(0, device=self.device)
        for module in self._loss.modules():  # stage 3 gathers its weights for as many backwards as were counted
            if "applied_pre_backward_ref_cnt" in vars(module):
                vars(module)["applied_pre_backward_ref_cnt"] = sys.maxsize
        found = torch.autograd.grad(term, list(self.learning.values()), retain_graph=True, allow_unused=True)
        return torch.cat([gradient.flatten() for gradient in found if gradient is not None])

    def _begin(self) -> None:
        """Moments of zero, so that a checkpoint has the same names and shapes at any step."""
        flat = self._optimizer.fp32_partitioned_groups_flat if self.stage == 3 else None
        for part in flat or self._optimizer.single_partition_of_fp32_groups:
            moments = {key: torch.zeros_like(part) for key in _MOMENTS}
            self._optimizer.optimizer.state[part] = {"step": torch.zeros((), device=self.device)} | moments
        if self.stage < 3:
            self._optimizer._lazy_init_hp_params_optimizer_state()

    @property
    def _states(self) -> list[dict[str, Tensor]]:
        """What AdamW keeps here: of each parameter at stage 0, else of what this process has of each group."""
        return [*(self._optimizer.optimizer if self.stage else self._optimizer).state.values()]

    def _whole(self, name: str, key: str) -> Tensor:
        """A weight, or a moment of it, as it would be in one process."""
        start, part = self._part(name, key)
        if not self.stage:
            return part.view(self._shapes[name])
        whole = torch.zeros(self._shapes[name], device=self.device)
        whole.view(-1)[start : start + len(part)] = part
        dist.all_reduce(whole)
        return whole.cpu() if self.rank == 0 else part

    def _take(self, name: str, key: str, whole: Tensor | None) -> None:
        if whole is not None:
            start, part = self._part(name, key)
            part.copy_(whole.flatten()[start : start + len(part)])

    def _spread(self) -> None:
        """The weights that the model computes with become those that learn."""
        if self.stage in (1, 2):
            self._optimizer.update_lp_params()
        if self.stage == 3:
            for p in self.learning.values():
                vars(p)["ds_tensor"].copy_(self._optimizer.get_local_fp32_param(p).detach())
            self._engine.empty_partition_cache()  # of what was put together before

    def _part(self, name: str, key: str) -> tuple[int, Float32[Tensor, " n"]]:
        """What this process keeps of a weight or of a moment of it, laid flat: where it begins, and the numbers."""
        p: Any = self.learning[name]
        if self.stage == 0:
            return 0, (p if key == "weight" else self._optimizer.state[p][key]).detach().view(-1)
        if self.stage == 3:
            part = self._optimizer.get_local_fp32_param(p, None if key == "weight" else key).detach()
            start = self.rank * len(part)
            return start, part[: max(0, self._shapes[name].numel() - start)]  # the last one is padded
        own = p._hp_mapping
        if own is None:
            return 0, torch.zeros(0, device=self.device)
        return own.lp_fragment_address.start, own.get_hp_fragment(None if key == "weight" else key).detach()


class _Loss(nn.Module):
    """What DeepSpeed wraps. It is given the loss alone: it puts hooks of backward on all that it sees come out."""

    def __init__(self, model: nn.Module, device: str, bf16: bool) -> None:
        super().__init__()
        self.model, self.device, self.bf16 = model, device, bf16
        self.terms: dict[str, Tensor] = {}

    def forward(self, batch: Batch, seed: int) -> Tensor:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            loss, self.terms = self.model(batch, seed)
        return loss


def _settings(stage: int, numbers: int) -> dict[str, Any]:
    piece = min(-(-numbers // 64) * 64, _PIECE)  # of aligned parts
    zero = {"stage": stage, "overlap_comm": False, "reduce_bucket_size": piece, "allgather_bucket_size": piece}
    return {
        "train_micro_batch_size_per_gpu": 1,  # a number that nothing here depends on
        "gradient_clipping": 0.0,  # done here, where the norm is looked at; left out, it would be 1
        "zero_optimization": zero | ({"compute_grad_norm": False} if stage in (1, 2) else {}),
        "timers": {"throughput": {"enabled": False}},  # would wait for the device at every step
    }


def _deepspeed(device: torch.device) -> ModuleType:
    """DeepSpeed, on the process group that there is, or a group of this process alone; quiet, and compiling nothing."""
    os.environ.setdefault("DS_ACCELERATOR", device.type)
    if device.index is None:
        os.environ.setdefault("LOCAL_RANK", "0")
    else:
        os.environ["LOCAL_RANK"] = str(device.index)
    import deepspeed.ops
    from deepspeed.utils import groups

    said = logging.getLogger("DeepSpeed")
    said.setLevel(logging.ERROR)
    said.handlers.clear()  # of its own, to stdout
    said.propagate = True
    warnings.filterwarnings("ignore", "`torch.distributed", FutureWarning)  # of calls of its own, once each
    # an operation for the CPU that is compiled at start, for half a minute, and fails without a compiler
    setattr(deepspeed.ops, "__compatible_ops__", {"deepspeed_shm_comm": False})  # noqa: B010
    if not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    deepspeed.init_distributed(dist_backend=dist.get_backend(), auto_mpi_discovery=False)
    groups._WORLD_GROUP = dist.group.WORLD  # not a copy: one group has one order of collectives, and one timeout
    return deepspeed
