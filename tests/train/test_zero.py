"""The DeepSpeed engine is held against the torch engine, on one process and on two that form a gloo group.

DeepSpeed takes seconds to start, so each group of processes makes all stages one after another, and what it found is
looked at here: `tours` of one engine alone, `crossings` from the state of one to another.
"""

import math
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import ranks
import torch
from batches import make, tiny
from test_engine import steps
from torch import Tensor
from toy import BATCH, RUN, Toy, curve, start, stream, world_batch

from ecgfm.batch import Batch, record_id
from ecgfm.data.plan import Position
from ecgfm.losses.gather import rank, world
from ecgfm.model.encoded import Encoded
from ecgfm.model.views import EcgView, TextView
from ecgfm.objectives import dbeta
from ecgfm.run import Optimizer
from ecgfm.train.engine import Engine, NonFiniteError, TorchEngine
from ecgfm.train.loop import StoppedError
from ecgfm.train.pretraining import Pretraining

Stage = Literal[0, 1, 2, 3]
State = dict[str, dict[str, Tensor]]
Curve = list[dict[str, float]]
STAGES: tuple[Stage, ...] = (0, 1, 2, 3)
ROWS = 8
RATES = Optimizer(rates=dict.fromkeys(("ecg", "text", "heads"), 1e-3))


def zero(stage: Stage | None, precision: Literal["fp32", "bf16"] = "fp32", seed: int = 0) -> Engine:
    """The toy under DeepSpeed, or without a stage under the torch engine."""
    torch.manual_seed(seed)
    model = Toy()
    model.drop.p = 0
    return wrap(model, RUN.optimizer, stage, precision)


def wrap(
    model: Toy | Pretraining, config: Optimizer, stage: Stage | None, precision: Literal["fp32", "bf16"] = "fp32"
) -> Engine:
    if stage is None:
        return TorchEngine(model, model.groups(), config, precision=precision)
    from ecgfm.train import zero

    zero._PIECE = 1 << 15  # so that gradients are averaged many times during backward, between a loss's own collectives
    return zero.DeepSpeedEngine(model, model.groups(), config, "cpu", precision, stage)


def copied(state: State) -> State:
    return {part: {name: t.clone() for name, t in tensors.items()} for part, tensors in state.items()}


def toys(stage: Stage | None) -> dict[str, Any]:
    """What a toy's engine shows."""
    made = zero(stage)
    assert isinstance(made, Engine)
    two = steps(made, 2)
    before = copied(made.state())
    named, rows = [], slice(rank() * BATCH // world(), (rank() + 1) * BATCH // world())
    batch = world_batch(1)[rows]
    for scale, slope in ((math.nan, False), (1e-3, True)):
        loss, terms = made(replace(batch, scale=batch.scale.clone().fill_(scale)), 0)
        root = (loss - loss.detach()).abs().sqrt() if slope else 0  # 0, with an infinite slope
        try:
            made.step(loss + root, terms, 1.0)
        except NonFiniteError as error:
            named.append(error.names)
    now = made.state()
    moved = [n for part, held in now.items() for n, t in held.items() if not torch.equal(t, before[part][n])]
    gradients = {name: float(made.gradient_of(term).norm()) for name, term in made(batch, 5)[1].items()}
    after = steps(made, 1)[0]
    refused, short = [], {"model": {k: t for k, t in before["model"].items() if k != "heads.mean.bias"}}
    wide = {"model": before["model"] | {"heads.mean.bias": torch.zeros(2)}}
    for odd in (wide, short):
        try:
            made.load(odd | {"optimizer": before["optimizer"]})
        except ValueError as error:
            refused.append(str(error))
    missing = sorted(made.load(short, partly=True))
    return {
        "curve": two,
        "state": before,
        "not finite": named,
        "moved": moved,
        "after": after,
        "gradients": gradients,
        "refused": refused,
        "missing": missing,
        "dtypes": [str(p.dtype) for p in made.learning.values()],
    }


def method(text: str, stage: Stage | None, precision: Literal["fp32", "bf16"] = "fp32") -> dict[str, Any]:
    """What the engine of a whole method shows: terms that gather, passes that are shared, a text model."""
    torch.manual_seed(0)
    made = wrap(Pretraining(tiny(text, dropout=0.1), {"dbeta": dbeta.Config()}), RATES, stage, precision)
    rows = slice(rank() * ROWS // world(), (rank() + 1) * ROWS // world())
    found, first = [], {}
    for step in range(4):
        found.append(made.step(*made(make(ROWS, seed=step)[rows], step), 1.0))
        if step == 0:
            first = {name: t.clone() for name, t in made.state()["optimizer"].items() if name.endswith("exp_avg")}
    made.model.eval()
    with torch.no_grad():
        seen = Encoded(made.model.towers, make(ROWS, seed=9)[rows], 0)  # as watchers do, past the engine
        vectors = {"ecg": seen.embed(EcgView()), "text": seen.embed(TextView())}
        loss, _ = made(make(ROWS, seed=9)[rows], 0)
    made.model.train()
    found.append(made.step(*made(make(ROWS, seed=4)[rows], 4), 1.0))
    return {"curve": found, "gradient": first, "seen": vectors, "held out": float(made.mean(loss[None]))}


def tour(text: str) -> dict[str, Any]:
    """Every stage, in one group of processes."""
    imported = "deepspeed" in sys.modules
    with tempfile.TemporaryFile("w+") as said:
        os.dup2(said.fileno(), 1)
        found = {
            "toy": {stage: toys(stage) for stage in STAGES},
            "fp32": {stage: method(text, stage) for stage in STAGES},
            "bf16": {stage: method(text, stage, "bf16") for stage in STAGES},
        }
        sys.stdout.flush()
        said.seek(0)
        return {"imported": imported, "said": said.read(), **found}


@pytest.fixture(scope="module")
def tours(text_model: str) -> dict[int, list[dict[str, Any]]]:
    """What each process of one, and of two, found."""
    return {workers: ranks.run(workers, tour, text_model) for workers in (1, 2)}


@pytest.fixture(scope="module")
def twin(text_model: str) -> dict[str, Any]:
    """The torch engine in one process."""
    return {"toy": toys(None), "fp32": method(text_model, None), "bf16": method(text_model, None, "bf16")}


def same_curves(made: Curve, expected: Curve, rel: float) -> None:
    for row, other in zip(made, expected, strict=True):
        assert row == pytest.approx(other, rel=rel)


every = pytest.mark.parametrize(("workers", "stage"), [(w, s) for w in (1, 2) for s in STAGES])


@every
def test_the_losses_are_the_torch_engine_s(workers: int, stage: Stage, tours: dict, twin: dict) -> None:
    for made in tours[workers]:
        same_curves(made["toy"][stage]["curve"], twin["toy"]["curve"], 1e-6)
        same_curves(made["fp32"][stage]["curve"], twin["fp32"]["curve"], 1e-5)
        assert made["fp32"][stage]["held out"] == pytest.approx(twin["fp32"]["held out"], rel=1e-5)


@every
def test_the_gradient_of_every_parameter_is_that_of_the_world_batch(
    workers: int, stage: Stage, tours: dict, twin: dict
) -> None:
    """After one step the first moment is the clipped gradient, times 1 - beta."""
    found, expected = tours[workers][0]["fp32"][stage]["gradient"], twin["fp32"]["gradient"]
    assert found.keys() == expected.keys()
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    for name, gradient in expected.items():
        scale = max(gradient.abs().max().item(), 1e-4 * largest)
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-5 * scale, msg=lambda m, n=name: f"{n}: {m}")


@every
def test_bf16_follows_the_torch_engine_s_with_fp32_weights(workers: int, stage: Stage, tours: dict, twin: dict) -> None:
    """Of single figures, the rounding of bf16 reaches 1 % within five steps; of the torch engine as well."""
    for made in tours[workers]:
        same_curves(made["bf16"][stage]["curve"], twin["bf16"]["curve"], 0.02)
        assert made["bf16"][stage]["curve"] != made["fp32"][stage]["curve"]
        assert {*made["toy"][stage]["dtypes"]} == {"torch.float32"}


@every
def test_watchers_see_the_whole_model(workers: int, stage: Stage, tours: dict, twin: dict) -> None:
    for tower, expected in twin["fp32"]["seen"].items():
        found = torch.cat([made["fp32"][stage]["seen"][tower] for made in tours[workers]])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@every
def test_a_state_has_the_torch_engine_s_names_shapes_and_types(
    workers: int, stage: Stage, tours: dict, twin: dict
) -> None:
    first, *others = (made["toy"][stage]["state"] for made in tours[workers])
    for part, tensors in twin["toy"]["state"].items():
        assert first[part].keys() == tensors.keys()
        for name, tensor in tensors.items():
            torch.testing.assert_close(first[part][name], tensor, rtol=1e-4, atol=1e-6)  # types and shapes, too
    assert all(not tensors for state in others for tensors in state.values())


@every
def test_nothing_moves_when_a_figure_is_not_finite(workers: int, stage: Stage, tours: dict, twin: dict) -> None:
    for made in tours[workers]:
        found = made["toy"][stage]
        assert found["not finite"] == twin["toy"]["not finite"]
        assert {*found["moved"]} <= {"seen"}  # a buffer, which forward itself moves
        assert found["after"] == pytest.approx(twin["toy"]["after"], rel=1e-6)


@every
def test_the_gradient_of_one_term(workers: int, stage: Stage, tours: dict, twin: dict) -> None:
    found = [made["toy"][stage]["gradients"] for made in tours[workers]]
    assert all(value > 0 for gradients in found for value in gradients.values())
    if workers == 1:
        assert found[0] == pytest.approx(twin["toy"]["gradients"], rel=1e-5)


@every
def test_another_model_s_state_is_refused(workers: int, stage: Stage, tours: dict, twin: dict) -> None:
    for made in tours[workers][:1]:  # the others were given nothing
        assert made["toy"][stage]["refused"] == twin["toy"]["refused"]
        assert made["toy"][stage]["missing"] == twin["toy"]["missing"]


def test_it_is_quiet_and_imported_only_where_it_is_used(tours: dict) -> None:
    for made in tours[1] + tours[2]:
        assert made["said"] == ""
        assert not made["imported"]


def go_on(folder: str) -> dict[str, Curve]:
    """Every engine from every state: two steps more."""
    origins = {path.name: torch.load(path) for path in sorted(Path(folder).iterdir())}
    found = {}
    for stage in (None, *STAGES):
        made = zero(stage, seed=1)
        for name, state in origins.items():
            assert made.load(state) == []
            found[f"{name} in {stage}"] = steps(made, 4, first=2)
    return found


@pytest.fixture(scope="module")
def crossings(tours: dict, twin: dict, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Curve]]:
    folder = tmp_path_factory.mktemp("states")
    torch.save(twin["toy"]["state"], folder / "torch")
    for workers, stage in every.args[1]:
        torch.save(tours[workers][0]["toy"][stage]["state"], folder / f"stage {stage} of {workers}")
    return {workers: ranks.run(workers, go_on, str(folder))[0] for workers in (1, 2)}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_curve_goes_on_at_any_stage_and_number_of_workers(workers: int, crossings: dict) -> None:
    straight = steps(zero(None), 4)[2:]
    assert len(crossings[workers]) == 9 * 5
    for made in crossings[workers].values():
        same_curves(made, straight, 1e-6)


def stop(folder: str) -> str:
    """A run at stage 3, with a record in batch 12 that is not finite: what is said of it."""

    def open_stream(position: Position, count: int) -> Iterator[tuple[Batch, Position]]:
        for batch, after in stream(position, rank(), world()):
            bad = batch.record == record_id(0, 12, 3)
            yield replace(batch, scale=batch.scale.masked_fill(bad[:, None], math.nan)), after

    with pytest.raises(StoppedError) as stopped:
        start(folder, made=zero(3, seed=RUN.seed), open_stream=open_stream)
    return str(stopped.value)


def test_a_run_that_stopped_goes_on_under_the_other_engine(tmp_path: Path) -> None:
    for said in ranks.run(2, stop, str(tmp_path / "stopped")):
        assert "toy/copy" in said
        assert "made-up shard 12 row 3" in said
    start(tmp_path / "stopped", dropout=0)  # the record was mended
    start(tmp_path / "straight", dropout=0)
    found, expected = curve(tmp_path / "stopped"), curve(tmp_path / "straight")
    same_curves(found[:24], expected[:24], 1e-5)
    same_curves(found, expected, 1e-3)
