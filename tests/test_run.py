import json
import pickle
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ecgfm.recipes import find
from ecgfm.run import Cadence, Frame, Optimizer, Run, describe, differences, identity, override, rebuild


@dataclass(frozen=True)
class Towers:
    heads: int = 12
    pools: dict[str, float] = field(default_factory=lambda: {"summary": 1.0})


@dataclass(frozen=True)
class Config:
    terms: dict[str, float] = field(default_factory=lambda: {"mlm": 1.0, "mem": 1.0})


RUN = Run(Towers(), {"dbeta": Config()}, batch=128, steps=300_000)


def test_a_run_is_a_value() -> None:
    assert pickle.loads(pickle.dumps(RUN)) == RUN
    assert RUN.frame.samples == 5000
    assert Frame(rate=360, seconds=2.5).samples == 900


def test_override_by_dotted_name() -> None:
    changed = override(RUN, {"towers.heads": 4, "objectives.dbeta.terms.mlm": 0.5, "optimizer.clip": None})
    assert changed.towers.heads == 4
    assert changed.objectives["dbeta"].terms == {"mlm": 0.5, "mem": 1.0}
    assert changed.optimizer == replace(Optimizer(), clip=None)
    assert override(RUN, {}) == RUN
    assert RUN.towers.heads == 12


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("optimiser.clip", "Run has no 'optimiser'; did you mean 'optimizer'?"),
        ("objectives.dbeta.terms.mln", "dict has no 'mln'; did you mean 'mlm'?"),
        ("frame.zzz", "Frame has no 'zzz'; there are rate, seconds"),
        ("batch.size", "int has no 'size'; there are none"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        override(RUN, {name: 1})
    assert hint in str(caught.value)


def test_identity_is_of_what_decides_the_curve() -> None:
    def of(run: Run, **inputs: str) -> str:
        return identity(describe(run), inputs)

    assert of(RUN) == of(replace(RUN)) == of(replace(RUN, cadence=Cadence(save=7), embed="mean"))
    others = [
        of(replace(RUN, seed=1)),
        of(override(RUN, {"objectives.dbeta.terms.mem": 0.5})),
        of(replace(RUN, objectives={"other": Config()})),
        of(replace(RUN, towers=Config())),
        of(RUN, shards="abc"),
    ]
    assert len({of(RUN), *others}) == 6


def test_a_recipe_becomes_json_and_says_what_its_parts_are() -> None:
    described = describe(RUN)
    assert described["objectives"]["dbeta"] == {"is": f"{__name__}.Config", "terms": {"mlm": 1.0, "mem": 1.0}}
    assert described["optimizer"]["betas"] == [0.9, 0.98]
    with pytest.raises(TypeError, match="not PosixPath"):
        describe({"where": Path("x")})


def test_a_recipe_is_rebuilt_from_json() -> None:
    assert rebuild(json.loads(json.dumps(describe(RUN)))) == RUN
    assert rebuild({"a": [1, [2, None]], "b": "x"}) == {"a": (1, (2, None)), "b": "x"}


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"is": "nowhere.Config"}, "a nowhere.Config is described, and there is no module 'nowhere' here: install it"),
        ({"is": "ecgfm.run.Frames"}, r"ecgfm\.run has no such dataclass here"),
        ({"is": "os.system", "command": "true"}, "os has no such dataclass here"),
        ({"is": "ecgfm.run.Frame", "hertz": 1}, "described with 'hertz', which it does not have here"),
    ],
)
def test_what_cannot_be_rebuilt_is_told(described: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rebuild({"frame": described})


def test_differences_are_told_by_dotted_name() -> None:
    changed = override(RUN, {"batch": 64, "objectives.dbeta.terms.mem": 0.0})
    assert differences(describe(RUN), describe(changed)) == [
        "batch: 128 -> 64",
        "objectives.dbeta.terms.mem: 1.0 -> 0.0",
    ]
    assert differences({"a": 1}, {"b": 1}) == ["a: 1 -> absent", "b: absent -> 1"]


def test_every_step_has_a_seed_of_its_own() -> None:
    assert len({replace(RUN, seed=seed).step_seed(step) for seed in range(20) for step in range(20)}) == 400


def test_shrink_keeps_the_method() -> None:
    small = RUN.shrink(Towers(heads=2), batch=8, steps=300)
    assert (small.towers.heads, small.batch, small.steps) == (2, 8, 300)
    assert (small.cadence.log, small.cadence.save, small.cadence.evaluate) == (1, 1, 1)
    assert (small.objectives, small.optimizer, small.schedule, small.frame) == (
        RUN.objectives,
        RUN.optimizer,
        RUN.schedule,
        RUN.frame,
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": -1}, "at least one"),
        ({"batch": 17}, "8 slices of one size: 16"),
        ({"words": 0}, "words=0 are 1 or more"),
        ({"seed": -1}, "seed=-1 is 0 or more"),
        ({"optimizer.clip": 0.0}, "optimizer.clip=0.0: above 0, or None"),
        ({"schedule.warmup": 0.5, "schedule.hold": 0.7}, "are shares of one whole"),
        ({"schedule.last": 0.0, "schedule.decline": "exponential"}, "comes to no end at 0"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_anything_is_written(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        override(find(["dbeta_tiny"]), change)


@pytest.mark.parametrize("name", ["log", "save", "evaluate", "keep_last", "keep_every"])
def test_nothing_is_done_every_no_steps(name: str) -> None:
    with pytest.raises(ValueError, match=rf"cadence\.{name}=0: at least 1"):
        replace(Cadence(), **{name: 0})
