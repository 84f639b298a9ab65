"""How large an update is: learning rates by group and by step."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ecgfm.run import Optimizer, Schedule


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """The share of its highest rate that every group has in update number `step` of `steps`.

    With shares 0.1, 0.4 and an exponential decline this is the tri-stage schedule of wav2vec 2.0; without a plateau and
    with the cosine, warm-up and cosine.
    """
    warm, plateau = schedule.warmup * steps, (schedule.warmup + schedule.hold) * steps
    if step < warm:
        return schedule.first + (1 - schedule.first) * step / warm
    if step < plateau:
        return 1.0
    done = (step - plateau) / (steps - plateau)
    if schedule.decline == "exponential":
        return math.exp(math.log(schedule.last) * done)
    return schedule.last + (1 - schedule.last) * (1 + math.cos(math.pi * done)) / 2


def adamw(model: nn.Module, groups: Mapping[str, Sequence[nn.Parameter]], config: Optimizer) -> torch.optim.AdamW:
    """AdamW over every parameter that learns. Each group of torch's carries its highest rate as "rate". A norm's weight
    of shape (channels, 1) is a vector too, and has no decay.

    The state is made here and not at the first step, so that a checkpoint has the same names and shapes at any step.
    """
    _check(model, groups, config)
    parts = [
        {"params": chosen, "rate": config.rates[name], "lr": config.rates[name], "weight_decay": decay}
        for name, parameters in groups.items()
        for decay, matrices in ((config.decay, True), (0.0, False))
        if (chosen := [p for p in parameters if p.requires_grad and (p.squeeze().ndim > 1) == matrices])
    ]
    optimizer = torch.optim.AdamW(parts, betas=config.betas, eps=config.eps, fused=True)
    for part in parts:
        for p in part["params"]:
            moments = {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            optimizer.state[p] = {"step": torch.zeros((), device=p.device)} | moments
    return optimizer


def _check(model: nn.Module, groups: Mapping[str, Sequence[nn.Parameter]], config: Optimizer) -> None:
    unknown = sorted(groups.keys() - config.rates.keys())
    if unknown:
        raise ValueError(f"no learning rate for {', '.join(unknown)}: optimizer.rates has {', '.join(config.rates)}")
    grouped = [id(p) for parameters in groups.values() for p in parameters if p.requires_grad]
    learning = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    if sorted(grouped) != sorted(learning):
        odd = [name for i, name in learning.items() if grouped.count(i) != 1] or ["a parameter that is not the model's"]
        raise ValueError(f"every parameter that learns belongs to one group, but {odd[0]} does not")
