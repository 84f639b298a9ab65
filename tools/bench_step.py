"""A training step of ours against one of the published modules: the same losses, batch, sizes and precision.

    python tools/bench_step.py --recipe dbeta_paper     # base size on this CPU
    python tools/bench_step.py --device cuda --precision bf16 --batch 128 --steps 20

Both hold the same number of parameters within 2 %: `dbeta` has no convolved positions. Steps of the two are taken in
turn, so that both meet the same weather, and the ratio of their medians is what counts. At the end it is said where our
time goes.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import record
import torch
import tyro
from published import Published
from torch import nn
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, AutoModelForTextEncoding

from ecgfm import draw
from ecgfm.batch import Batch
from ecgfm.model import local_t5
from ecgfm.model.patches import PATCH, read
from ecgfm.model.text import TextConfig
from ecgfm.recipes import find
from ecgfm.run import Optimizer
from ecgfm.train.engine import TorchEngine
from ecgfm.train.pretraining import Pretraining

WORDS = 32_128  # of Flan-T5
DROPPED = 0.75
SHOWN = 12  # operations


@dataclass(frozen=True)
class Bench:
    batch: int = 8
    words: int = 64
    """Of the longest report; the others have half to all of that."""
    steps: int = 5
    recipe: str = "dbeta"
    """Of D-BETA. `dbeta_paper` has the losses of the published modules; `dbeta` reads every report once more."""
    device: str = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    to: Path | None = None
    """A folder for the record."""


def text_model(folder: str) -> str:
    """The size of Flan-T5-base, with random weights."""
    local_t5.make([f"word{i} and another" for i in range(500)], folder, heads=12)
    config = AutoConfig.from_pretrained(folder)
    config.vocab_size = WORDS
    AutoModelForTextEncoding.from_config(config).save_pretrained(folder)
    return folder


def batch(bench: Bench) -> Batch:
    """Records of 10 s at 500 Hz, all leads, reports of different lengths, a false one for each."""
    random, n = draw.generator("bench"), bench.batch
    counts = torch.from_numpy(random.integers(bench.words // 2, bench.words + 1, n)).int()
    counts[0] = bench.words
    inside = torch.arange(bench.words) < counts[:, None]
    words = torch.from_numpy(random.integers(4, 500, (n, bench.words))).int() * inside
    return Batch(
        record=torch.arange(n),
        subject=torch.arange(n),
        report=torch.arange(n),
        signal=torch.from_numpy(random.integers(-2000, 2000, (n, 12, 5000))).short(),
        scale=torch.full((n, 12), 1e-3),
        offset=torch.zeros(n, 12),
        leads=torch.ones(n, 12, dtype=torch.bool),
        length=torch.full((n,), 5000).int(),
        words=words,
        word_count=counts,
        far_report=torch.arange(n) + n,
        far_words=words.roll(1, 0),
        far_word_count=counts.roll(1, 0),
    )


class PortedStep(nn.Module):
    """The published modules behind the signature that an engine calls."""

    def __init__(self, text: str):
        super().__init__()
        self.model = Published(text)

    def forward(self, batch: Batch, seed: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        signal, n = read(batch).millivolts, len(batch)
        patches = signal.shape[2] // PATCH
        kept = torch.rand(n, patches, device=signal.device).argsort(1)[:, : int(patches * (1 - DROPPED))]
        mask = torch.arange(batch.words.shape[1], device=signal.device) < batch.word_count[:, None]
        chosen = mask & (torch.rand(mask.shape, device=signal.device) < 0.25)
        words = batch.words.long()
        guess = torch.where(chosen, words, -100)
        aligned = (torch.rand(n, device=signal.device) < 0.5).long()
        hidden = torch.rand(n, 12, device=signal.device) < 0.5
        return self.model(signal, hidden, kept.sort(1).values, words.masked_fill(chosen, 3), mask, guess, aligned), {}


def engines(bench: Bench, text: str) -> dict[str, TorchEngine]:
    run = find([bench.recipe])
    ours, port = Pretraining(replace(run.towers, text=TextConfig(text)), run.objectives), PortedStep(text)
    sizes = [sum(p.numel() for p in model.parameters() if p.requires_grad) for model in (ours, port)]
    if abs(sizes[0] / sizes[1] - 1) > 0.02:
        raise ValueError(f"the two differ in size: {sizes[0]:,} and {sizes[1]:,} parameters")
    rates = Optimizer(rates={"ecg": 1e-5, "text": 1e-5, "heads": 1e-5, "all": 1e-5}, clip=None)
    everything = {"all": [p for p in port.parameters() if p.requires_grad]}
    return {
        "published": TorchEngine(port, everything, rates, bench.device, bench.precision),
        "ours": TorchEngine(ours, ours.groups(), rates, bench.device, bench.precision),
    }


def timed(step: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = engines(bench, text_model(folder))
    sample, times = batch(bench), {name: [] for name in made}

    def step(engine: TorchEngine, seed: int) -> None:
        loss, terms = engine(sample, seed)
        engine.step(loss, terms, 1.0)

    for number in range(bench.steps + 1):  # the first is for warming up
        for name, engine in made.items():
            times[name].append(timed(lambda e=engine, n=number: step(e, n), bench.device))
    medians = {name: statistics.median(each[1:]) for name, each in times.items()}
    pairs = [a / b for a, b in zip(times["published"][1:], times["ours"][1:], strict=True)]
    for name, seconds in medians.items():
        print(f"{name:10} {seconds:.3f} s a step, {bench.batch / seconds:.2f} records/s")
    ratio = medians["published"] / medians["ours"]
    print(f"ours is {ratio:.2f} times as fast ({min(pairs):.2f} to {max(pairs):.2f} over pairs of steps)")
    spent = where(made["ours"], step, bench)
    print(*record.table(spent), sep="\n")
    if bench.to:
        said = (
            f"A step of {bench.recipe} is {ratio:.2f} times as fast ({min(pairs):.2f} to {max(pairs):.2f} over pairs)"
        )
        rows = [{"step": name, "seconds": s, "records/s": bench.batch / s} for name, s in medians.items()]
        settings = {**asdict(bench), "to": None, "threads": torch.get_num_threads()}
        more = {"pairs": pairs, "settings": settings, "where our time goes": spent}
        record.write(bench.to, "A training step against the published modules", said, rows, **more)


def where(engine: TorchEngine, step: Callable[[TorchEngine, int], None], bench: Bench) -> list[dict[str, Any]]:
    """The dearest operations of one of our steps, without what they call, as shares of all."""
    cuda = bench.device != "cpu"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiled:
        step(engine, 99)
    spent = {e.key: e.self_device_time_total if cuda else e.self_cpu_time_total for e in profiled.key_averages()}
    order = sorted(spent, key=lambda key: -spent[key])[:SHOWN]
    return [{"operation": key, "share": spent[key] / sum(spent.values())} for key in order]


if __name__ == "__main__":
    main(tyro.cli(Bench))
