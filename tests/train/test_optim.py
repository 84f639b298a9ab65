import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from ecgfm.recipes import find
from ecgfm.run import Optimizer, Schedule, override
from ecgfm.train.optim import adamw, factor
from ecgfm.train.pretraining import Pretraining

TRI_STAGE = Schedule(warmup=0.1, hold=0.4, decline="exponential", first=0.01, last=0.05)


def test_tri_stage() -> None:
    shares = [factor(TRI_STAGE, step, 1000) for step in range(1000)]
    assert shares[0] == 0.01
    assert shares[50] == pytest.approx((0.01 + 1) / 2)
    assert shares[100:500] == [1.0] * 400
    assert shares[750] == pytest.approx(math.sqrt(0.05))
    assert shares[999] == pytest.approx(0.05, rel=0.01)


def test_warm_up_and_cosine() -> None:
    schedule = Schedule(warmup=0.1, hold=0.0, decline="cosine", first=0.0, last=0.1)
    shares = [factor(schedule, step, 1000) for step in range(1000)]
    assert shares[0] == 0
    assert max(shares) == shares[100] == 1
    assert shares[550] == pytest.approx((1 + 0.1) / 2)
    assert all(a > b for a, b in pairwise(shares[100:]))


@pytest.mark.parametrize("schedule", [Schedule(warmup=1.0, hold=0.0), Schedule(warmup=0.0, hold=1.0)])
def test_a_stage_may_take_all_steps(schedule: Schedule) -> None:
    assert all(0 <= factor(schedule, step, 7) <= 1 for step in range(7))


def model() -> nn.ModuleDict:
    return nn.ModuleDict({"ecg": nn.Linear(3, 4), "heads": nn.Linear(4, 2)})


def groups(of: nn.ModuleDict) -> dict[str, list[nn.Parameter]]:
    return {name: list(part.parameters()) for name, part in of.items()}


def test_rates_by_group_and_no_decay_on_vectors() -> None:
    made = model()
    config = Optimizer(rates={"ecg": 1e-3, "text": 1.0, "heads": 1e-2}, decay=0.1)
    parts = adamw(made, groups(made), config).param_groups
    found = {id(p): (part["rate"], part["weight_decay"]) for part in parts for p in part["params"]}
    assert found == {
        id(made["ecg"].weight): (1e-3, 0.1),
        id(made["ecg"].bias): (1e-3, 0.0),
        id(made["heads"].weight): (1e-2, 0.1),
        id(made["heads"].bias): (1e-2, 0.0),
    }


@pytest.mark.parametrize("recipe", ["dbeta_tiny", "dbeta_paper_tiny"])
def test_norms_scales_and_biases_have_no_decay(recipe: str, text_model: str) -> None:
    """Of whatever shape: (channels, 1) in the stem, (1, 1, places) in the convolution of positions."""
    run = override(find([recipe]), {"towers.text.name": text_model})
    made = Pretraining.of(run)
    parts = adamw(made, made.groups(), run.optimizer).param_groups
    decay = {id(p): part["weight_decay"] for part in parts for p in part["params"]}
    of = {(name, own): p for name, part in made.named_modules() for own, p in part.named_parameters(recurse=False)}
    spared = {
        f"{name}.{own}": decay[id(p)]
        for (name, own), p in of.items()
        if "Norm" in type(made.get_submodule(name)).__name__ or own in ("bias", "scale", "original0")
    }
    assert any("stem.norm" in name for name in spared)
    assert [name for name, found in spared.items() if found] == []
    maps = [part.weight for part in made.modules() if isinstance(part, nn.Linear | nn.Embedding)]
    assert {decay[id(p)] for p in maps} == {run.optimizer.decay}


def test_the_state_is_there_before_the_first_step() -> None:
    torch.manual_seed(0)
    ours = model()
    theirs = model()
    theirs.load_state_dict(ours.state_dict())
    config = Optimizer(rates={"ecg": 1e-2, "heads": 1e-2}, decay=0.0)
    one = adamw(ours, groups(ours), config)
    two = torch.optim.AdamW(theirs.parameters(), lr=1e-2, betas=config.betas, eps=config.eps, weight_decay=0)
    for _ in range(3):
        for made, optimizer in ((ours, one), (theirs, two)):
            optimizer.zero_grad()
            made["heads"](made["ecg"](torch.ones(2, 3))).square().sum().backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_group_without_a_rate_is_named() -> None:
    made = model()
    with pytest.raises(ValueError, match=r"no learning rate for heads: optimizer\.rates has ecg"):
        adamw(made, groups(made), Optimizer(rates={"ecg": 1.0}))


def test_a_parameter_without_a_group_is_named() -> None:
    made = model()
    made["heads"].bias.requires_grad_(False)  # frozen: it needs none
    adamw(made, groups(made), Optimizer())
    with pytest.raises(ValueError, match=r"heads\.weight does not"):
        adamw(made, {"ecg": list(made["ecg"].parameters())}, Optimizer())
