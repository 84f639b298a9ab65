"""What a run would take, before it is started: parameters, memory, hours; and what each figure rests on.

Weights, gradients and moments are counted, in fp32 whatever the precision (ecgfm/train/engine.py, zero.py). What
backward keeps of forward, and the operations of a step, are measured on a few records in this process, and scaled to a
worker's share of the world batch. Short-lived buffers come on top, and what the allocator leaves unused.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ecgfm.batch import Batch, Channels
from ecgfm.data.record import OTHERS
from ecgfm.run import Resources, Run
from ecgfm.train.pretraining import Pretraining, built

FLOAT, BUCKETS = 4, 2 * (1 << 25) * 4  # bytes: of a number, and of the two buffers of ecgfm.train.zero
CARD = 80e9  # bytes of a GPU that most who pretrain have
PEAK, SHARE = {"bf16": 989e12, "fp32": 67e12}, 0.3  # FLOP/s of an H100, and the share of it that is assumed
_FEW = 2  # records that are measured, and twice as many: their difference is what one more costs


@dataclass(frozen=True)
class Cost:
    """Of one step: bytes that backward needs, as fixed + record * records, and operations per record."""

    fixed: float
    record: float
    operations: float


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU."""

    weights: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations


def memory(learning: int, frozen: int, cost: Cost, records: float, resources: Resources) -> Memory:
    """On each of the workers. DeepSpeed's optimizer holds a copy of the weights it updates beside their two moments."""
    zero = resources.stage if resources.engine == "deepspeed" else 0
    weights, gradients, moments = (learning + frozen) * FLOAT, learning * FLOAT, 2 * learning * FLOAT
    share = 1 / resources.workers
    return Memory(
        weights * (share if zero == 3 else 1),
        gradients * (share if zero >= 2 else 1) + (BUCKETS if zero else 0),
        (moments + learning * FLOAT) * share if zero else moments,
        cost.fixed + cost.record * records,
    )


def hours(run: Run, speed: float) -> float:
    """At so many records per second."""
    return run.steps * run.batch / speed / 3600


def measure(run: Run, model: Pretraining, precision: str) -> Cost:
    sizes = {_FEW: 0, 2 * _FEW: 0}
    counter = FlopCounterMode(display=False)
    for records in sizes:
        with counter:  # of the last one, it is the count that stays
            sizes[records] = _kept(model, made_up(run, model, records), precision)
    record = (sizes[2 * _FEW] - sizes[_FEW]) / _FEW
    return Cost(sizes[_FEW] - record * _FEW, record, counter.get_total_flops() / (2 * _FEW))


def _kept(model: Pretraining, batch: Batch, precision: str) -> int:
    """Bytes that forward keeps for backward, each memory once, without the parameters'; and backward is run."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in own:
            kept[memory.data_ptr()] = memory.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss, _ = model(batch, 0)
        total = sum(kept.values())
    loss.backward()
    model.zero_grad()
    return total


def made_up(run: Run, model: Pretraining, records: int) -> Batch:
    """Records as long as they can be, with reports as long as they can be, two visits of each subject."""
    generator = torch.Generator().manual_seed(0)
    numbers, some = torch.arange(records), run.words if "text" in model.columns else 0
    words = torch.randint(5, 60, (records, some), generator=generator, dtype=torch.int32)
    counts = torch.full((records,), some, dtype=torch.int32)

    def channels(count: int, samples: int) -> Channels:
        signal = torch.randint(-1000, 1000, (records, count, samples), generator=generator, dtype=torch.int16)
        scale, leads = torch.full((records, count), 1e-3), torch.ones(records, count, dtype=torch.bool)
        return Channels(signal, scale, torch.zeros_like(scale), leads, torch.full((records,), samples).int())

    others = {kind: channels(OTHERS[kind], run.frame.of(kind).samples) for kind in OTHERS if kind in model.columns}
    ecg = channels(model.towers.config.leads, run.frame.samples)
    batch = Batch(numbers, numbers // 2, numbers, *ecg, words, counts, others=others)
    if "far" not in model.columns:
        return batch
    return replace(batch, far_report=numbers + records, far_words=words, far_word_count=counts)


def parts(model: Pretraining) -> Iterator[tuple[str, int, int]]:
    """(name, parameters, of which learn) of the towers' parts and of each objective."""
    for name, room in (("towers", model.towers), ("objectives", model.objectives)):
        for child, module in room.named_children():
            sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
            if sizes:
                yield f"{name}.{child}", sum(n for n, _ in sizes), sum(n for n, learns in sizes if learns)


def describe(run: Run, resources: Resources, speed: float | None, whose: str) -> str:
    """A page about a run. `speed` in records per second and whose it is, or None: then it is assumed."""
    model = Pretraining(built(run), run.objectives, pretrained=False)
    rows, cost = [*parts(model)], measure(run, model, resources.precision)
    count, learning = sum(count for _, count, _ in rows), sum(learn for _, _, learn in rows)
    if speed is None:
        pace = PEAK[resources.precision] * SHARE
        speed = resources.workers * pace / cost.operations
        whose = f"{SHARE:.0%} of an H100's {PEAK[resources.precision] / 1e12:.0f} TFLOP/s in each worker: an assumption"
    lines = [model.equation(), "", *_table(rows, count, learning), ""]
    lines += [f"{run.steps:,} steps of {run.batch:,} records: {run.steps * run.batch:,} records", ""]
    lines += _memories(run, resources, learning, count - learning, cost)
    lines += ["", f"{cost.operations / 1e9:,.1f} GFLOP per record, measured on {2 * _FEW} records"]
    lines += [f"{hours(run, speed):,.1f} hours at {speed:,.0f} records/s ({whose})"]
    lines += [f"{resources.readers} readers (--resources.readers) have to keep up with that"]
    return "\n".join(lines)


def _table(rows: list[tuple[str, int, int]], count: int, learning: int) -> list[str]:
    wide = max(len(name) for name, _, _ in rows)
    named = [*rows, ("all", count, learning)]
    return [f"{'':{wide}}  {'parameters':>14}  {'learn':>14}"] + [
        f"{name:{wide}}  {all_:>14,}  {learn:>14,}" for name, all_, learn in named
    ]


def _memories(run: Run, resources: Resources, learning: int, frozen: int, cost: Cost) -> list[str]:
    def of(workers: int) -> Memory:
        return memory(learning, frozen, cost, run.batch / workers, replace(resources, workers=workers))

    able = [n for n in range(1, run.slices + 1) if run.slices % n == 0]
    fits = [n for n in able if of(n).total <= CARD]
    asked = resources.workers
    shown = sorted({asked, *(fits[:1] or able[-1:])})
    lines = [
        f"{'workers':>7}  {'weights':>8}  {'gradients':>9}  {'optimizer':>9}  {'activations':>11}  {'GB per GPU':>10}"
    ]
    for n in shown:
        m = of(n)
        figures = (m.weights, m.gradients, m.optimizer, m.activations, m.total)
        w, g, o, a, t = (f"{bytes_ / 1e9:.1f}" for bytes_ in figures)
        lines.append(f"{n:>7}  {w:>8}  {g:>9}  {o:>9}  {a:>11}  {t:>10}")
    smallest = (
        f"the smallest number of workers whose GPUs of {CARD / 1e9:.0f} GB hold it: {fits[0]}"
        if fits
        else (f"no number of workers that divides {run.slices} slices has room for it on GPUs of {CARD / 1e9:.0f} GB")
    )
    return [*lines, smallest]
