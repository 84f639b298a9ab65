import math
from dataclasses import replace

import pytest
import torch
from ranks import run
from toy import BATCH, RUN, Toy, engine, world_batch

from ecgfm.train.engine import Engine, NonFiniteError, TorchEngine, norm, updates


def steps(made: Engine, count: int, first: int = 0) -> list[dict[str, float]]:
    rows = slice(made.rank * BATCH // made.workers, (made.rank + 1) * BATCH // made.workers)
    figures = []
    for step in range(first, count):
        loss, terms = made(world_batch(step)[rows], RUN.step_seed(step))
        figures.append(made.step(loss, terms, 1.0))
    return figures


def weights(made: TorchEngine) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in made.state()["model"].items()}


def test_a_step_is_torch_s_own() -> None:
    made = engine(dropout=0)
    twin = Toy()
    twin.drop.p = 0
    twin.load_state_dict(made.model.state_dict())
    learning = [p for p in twin.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-2, betas=RUN.optimizer.betas, eps=RUN.optimizer.eps, weight_decay=0)
    for group in made.optimizer.param_groups:
        group["weight_decay"] = 0
    for step, figures in enumerate(steps(made, 3)):
        optimizer.zero_grad()
        loss, _ = twin(world_batch(step), RUN.step_seed(step))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(learning, RUN.optimizer.clip)
        optimizer.step()
        assert figures["loss"] == pytest.approx(loss.item())
        assert figures["gradient"] == pytest.approx(norm.item(), rel=1e-5)
        assert set(figures) == {"loss", "toy/copy", "toy/mean", "gradient"}
    for name, tensor in twin.named_parameters():
        torch.testing.assert_close(made.model.get_parameter(name), tensor, rtol=1e-4, atol=1e-6)


def test_the_gradient_is_clipped_only_when_it_is_too_long() -> None:
    lengths = []
    for clip in (None, 1e9, 1e-3):
        made = engine(run=replace(RUN, optimizer=replace(RUN.optimizer, clip=clip)), dropout=0)
        before = made.optimizer.step
        made.optimizer.step = lambda made=made, before=before: (lengths.append(made.gradients.buffer.norm()), before())
        norm = steps(made, 1)[0]["gradient"]
    assert lengths[0] == lengths[1] == norm
    assert lengths[2] == pytest.approx(1e-3)


def test_the_norm_of_a_long_gradient() -> None:
    long = torch.randn(20_000_000, generator=torch.Generator().manual_seed(0))
    assert norm([long[:7], long[7:]]).item() == pytest.approx(long.double().norm().item(), rel=1e-6)


def test_nothing_moves_when_a_figure_is_not_finite() -> None:
    made = engine()
    steps(made, 1)
    before = {name: {k: t.clone() for k, t in part.items()} for name, part in made.state().items()}
    batch = world_batch(1)
    loss, terms = made(replace(batch, scale=batch.scale.clone().fill_(math.nan)), 0)
    with pytest.raises(NonFiniteError, match="loss, toy/copy, toy/mean, gradient"):
        made.step(loss, terms, 1.0)
    for name, part_ in before.items():
        for key, tensor in part_.items():
            if key != "seen":  # a buffer, which forward itself moves
                assert torch.equal(made.state()[name][key], tensor), key
    assert not made.gradients.buffer.any()


def test_a_gradient_alone_may_fail() -> None:
    made = engine()
    loss, terms = made(world_batch(0), 0)
    root = (loss - loss.detach()).abs().sqrt()  # 0, with an infinite slope
    with pytest.raises(NonFiniteError) as caught:
        made.step(loss + root, terms, 1.0)
    assert caught.value.names == ["gradient"]


def test_bf16_follows_fp32_with_fp32_weights() -> None:
    curves = []
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        model = Toy()
        model.drop.p = 0  # its draws depend on the precision
        made = TorchEngine(model, model.groups(), RUN.optimizer, precision=precision)
        curves.append([figures["loss"] for figures in steps(made, 10)])
        assert {t.dtype for t in made.learning.values()} == {torch.float32}
    assert curves[0] != curves[1]
    assert curves[1] == pytest.approx(curves[0], rel=0.02)


def test_what_does_not_learn_is_not_in_the_state() -> None:
    state = engine().state()
    assert not any(name.startswith("frozen") for name in state["model"])
    assert "seen" in state["model"]
    assert {name.rpartition("/")[2] for name in state["optimizer"]} == {"step", "exp_avg", "exp_avg_sq"}


def test_a_state_moves_to_another_engine() -> None:
    one, two = engine(), engine(run=replace(RUN, seed=9))
    steps(one, 2)
    assert not two.load({name: {k: t.clone() for k, t in part_.items()} for name, part_ in one.state().items()})
    for made in (one, two):
        made(world_batch(5), 1)
    assert steps(one, 2) == steps(two, 2)


def test_another_model_s_state_is_refused() -> None:
    one, two = engine(width=16), engine(width=8)
    with pytest.raises(ValueError, match="the recipes do not fit"):
        one.load(two.state())
    short = {"model": {k: t for k, t in one.state()["model"].items() if k != "heads.mean.bias"}}
    with pytest.raises(ValueError, match=r"heads\.mean\.bias is in one only"):
        one.load(short | {"optimizer": one.state()["optimizer"]})
    assert "model: heads.mean.bias" in one.load(short, partly=True)


def test_what_a_checkpoint_lacks_joins_at_its_count() -> None:
    one, two = engine(), engine()
    steps(one, 3)
    state = one.state()
    old = {name: t for name, t in state["optimizer"].items() if not name.startswith("heads.mean.")}
    assert len(two.load({"model": state["model"], "optimizer": old}, partly=True)) == 6
    joined = two.state()["optimizer"]
    assert {float(t) for name, t in joined.items() if name.endswith("/step")} == {3}
    assert not joined["heads.mean.weight/exp_avg"].any()
    assert engine().load({"model": state["model"]}, partly=True)
    assert updates({"model": state["model"]}) is None


def five_steps() -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    made = engine(dropout=0)
    return steps(made, 5), weights(made)


def test_two_processes_are_one_batch() -> None:
    curve, last = five_steps()
    for theirs, weights_there in run(2, five_steps):
        for ours, row in zip(curve, theirs, strict=True):
            assert row == pytest.approx(ours, rel=1e-5)
        for name, tensor in last.items():
            torch.testing.assert_close(weights_there[name], tensor, rtol=1e-4, atol=1e-6)
