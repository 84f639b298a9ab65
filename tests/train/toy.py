"""A small model and an endless stream of made-up batches: what the loop's tests train."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ecgfm import draw
from ecgfm.batch import Batch, record_id
from ecgfm.data.plan import Position
from ecgfm.data.storage import Folder
from ecgfm.run import Cadence, Frame, Optimizer, Resources, Run, Schedule
from ecgfm.train.engine import Engine, TorchEngine
from ecgfm.train.journal import rows
from ecgfm.train.loop import OpenStream, Origin, held_out, train
from ecgfm.train.patience import Patience

SAMPLES, BATCH = 40, 8
CADENCE = Cadence(log=1, save=5, evaluate=10, keep_last=2)
RUN = Run(
    towers={"width": 16},
    objectives={"toy": {"keep": 0.5}},
    corpora={"made-up": 1},
    batch=BATCH,
    steps=30,
    frame=Frame(rate=40, seconds=1.0),
    optimizer=Optimizer(rates={"ecg": 1e-2, "heads": 1e-2}),
    schedule=Schedule(warmup=0.2),
    cadence=CADENCE,
    seed=3,
)


class Toy(nn.Module):
    """Two terms over a shared tower, with a mask drawn by record and dropout drawn from torch's own generator."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.towers = nn.Sequential(nn.Linear(SAMPLES, width), nn.GELU(), nn.LayerNorm(width))
        self.drop = nn.Dropout(0.1)
        self.heads = nn.ModuleDict({"copy": nn.Linear(width, SAMPLES), "mean": nn.Linear(width, 1)})
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"ecg": list(self.towers.parameters()), "heads": list(self.heads.parameters())}

    def forward(self, batch: Batch, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        self.seen += self.training
        signal = batch.signal[:, 0] * batch.scale[:, :1] + batch.offset[:, :1]
        masked = signal * (draw.uniform(seed, "mask", batch.record, SAMPLES) > 0.5)
        tokens = self.drop(self.towers(masked))
        terms = {
            "toy/copy": (self.heads["copy"](tokens) - signal).square().mean(),
            "toy/mean": (self.heads["mean"](tokens)[:, 0] - signal.mean(1)).abs().mean(),
        }
        return sum(terms.values(), torch.zeros((), device=signal.device)), terms


def world_batch(index: int, split: int = 0) -> Batch:
    random = draw.generator("toy", split, index)
    signal = random.integers(-1000, 1000, (BATCH, 12, SAMPLES)).astype("int16")
    return Batch(
        record=torch.tensor([record_id(0, index, row) for row in range(BATCH)]),
        subject=torch.zeros(BATCH, dtype=torch.int64),
        report=torch.full((BATCH,), -1),
        signal=torch.from_numpy(signal),
        scale=torch.full((BATCH, 12), 1e-3),
        offset=torch.zeros(BATCH, 12),
        leads=torch.ones(BATCH, 12, dtype=torch.bool),
        length=torch.full((BATCH,), SAMPLES, dtype=torch.int32),
        words=torch.zeros(BATCH, 0, dtype=torch.int32),
        word_count=torch.zeros(BATCH, dtype=torch.int32),
    )


def stream(position: Position, rank: int = 0, workers: int = 1) -> Iterator[tuple[Batch, Position]]:
    part, index = BATCH // workers, position.batch
    while True:
        index += 1
        yield world_batch(index - 1)[rank * part : (rank + 1) * part], Position(index)


def engine(width: int = 16, run: Run = RUN, dropout: float = 0.1) -> TorchEngine:
    torch.manual_seed(run.seed)
    model = Toy(width)
    model.drop.p = dropout
    return TorchEngine(model, model.groups(), run.optimizer)


def start(
    folder: str | Path,
    run: Run = RUN,
    made: Engine | None = None,
    open_stream: OpenStream | None = None,
    origin: Origin | None = None,
    dropout: float = 0.1,
    clock: Patience = Patience(None),
) -> None:
    """What a command does: build everything, and train from wherever the folder stands."""
    made = made or engine(run=run, dropout=dropout)
    part = BATCH // made.workers
    own = slice(made.rank * part, (made.rank + 1) * part)
    train(
        run,
        made,
        open_stream or (lambda position, _: stream(position, made.rank, made.workers)),
        Folder(str(folder)),
        {"held-out": held_out(made, lambda: [(world_batch(i, split=1)[own], Position(i + 1)) for i in range(2)])},
        resources=Resources(workers=made.workers, device="cpu"),
        inputs={"shards": "0" * 64},
        origin=origin,
        clock=clock,
    )


def curve(folder: str | Path) -> list[dict[str, float]]:
    """What does not depend on the machine."""
    found = rows(Folder(str(folder)))
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in found]
