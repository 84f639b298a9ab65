"""Towers and objectives put together: shared passes, declared terms, nothing built that nobody asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from batches import make, tiny
from torch import Tensor, nn

from ecgfm.model.encoded import Encoded
from ecgfm.model.pool import Project
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView
from ecgfm.objectives import dbeta
from ecgfm.train.pretraining import Pretraining


@dataclass(frozen=True)
class Config:
    """A method of the ECG alone, as a newcomer would write it: embeddings of unit variance."""

    terms: Mapping[str, float] = field(default_factory=lambda: {"variance": 0.5})
    says: str = "variance"
    over: str = "peaks"
    columns: ClassVar = ()

    @property
    def pools(self) -> dict[str, Project]:
        return {"summary": Project(self.over)}

    def build(self, towers: Towers) -> "Objective":
        return Objective(self)


class Objective(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config

    def forward(self, seen: Encoded) -> dict[str, Tensor]:
        return {self.config.says: (seen.embed(EcgView(leads=0.5, tokens=0.75)).var(0) - 1).square().mean()}


def build(text: str, train: bool = True, **objectives) -> Pretraining:
    torch.manual_seed(0)
    return Pretraining(tiny(text, dropout=0.1), objectives).train(train)


def test_the_run_as_an_equation(text_model: str) -> None:
    model = build(text_model, dbeta=dbeta.Config(), variance=Config())
    assert model.equation() == ("loss = 1*dbeta/mlm + 1*dbeta/mem + 1*dbeta/etm + 1*dbeta/ets + 0.5*variance/variance")
    loss, terms = model(make(), 1)
    torch.testing.assert_close(loss, sum(model.weights[name] * value for name, value in terms.items()))
    assert model.columns == {"text", "far"}


def test_terms_that_were_not_declared(text_model: str) -> None:
    with pytest.raises(ValueError, match=r"mine/else.*mine/variance"):
        build(text_model, mine=Config(says="else"))(make(), 1)


def test_a_tower_that_nobody_asks_for_is_not_built(text_model: str) -> None:
    model = build(text_model, variance=Config())
    assert model.towers.text is model.towers.config.text is None
    assert model.groups()["text"] == []
    assert model.towers.config.pools == {"summary": Project()}
    assert not model.columns
    model(make(), 1)[0].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_two_objectives_cannot_mean_two_things_by_one_pool(text_model: str) -> None:
    with pytest.raises(ValueError, match="summary"):
        build(text_model, dbeta=dbeta.Config(), variance=Config(over="mean"))


def test_together_is_the_sum_of_apart(text_model: str) -> None:
    """Masks and dropout of one do not move for the other, and the passes they share are made once."""
    both = build(text_model, dbeta=dbeta.Config(), variance=Config())
    both(make(), 1)[0].backward()
    apart = dict.fromkeys(dict(both.named_parameters()), 0)
    for name, config in (("dbeta", dbeta.Config()), ("variance", Config())):
        alone = build(text_model, **{name: config})
        alone.load_state_dict(
            {key: value for key, value in both.state_dict().items() if key in alone.state_dict()}, strict=True
        )
        alone(make(), 1)[0].backward()
        for key, parameter in alone.named_parameters():
            apart[key] = apart[key] + parameter.grad
    for name, parameter in both.named_parameters():
        torch.testing.assert_close(parameter.grad, apart[name], rtol=1e-3, atol=1e-5, msg=name)
    seen = Encoded(both.towers, make(), 1)
    for objective in both.objectives.values():
        objective(seen)
    assert seen.passes == 3  # the ECG; reports as fusion reads them; every record's own


def test_groups_are_all_that_learns(text_model: str) -> None:
    model = build(text_model, dbeta=dbeta.Config())
    groups = model.groups()
    everything = [id(parameter) for group in groups.values() for parameter in group]
    assert sorted(everything) == sorted(id(parameter) for parameter in model.parameters())
    assert {id(p) for p in groups["text"]} == {id(p) for p in model.towers.text.model.parameters()}
    assert id(model.towers.text.pool.map.weight) in {id(p) for p in groups["heads"]}
    assert id(model.towers.pools["summary"].map.weight) in {id(p) for p in groups["ecg"]}
    model.towers.text.requires_grad_(False)
    assert model.groups()["text"] == []


def test_no_parameter_is_without_a_dimension(text_model: str) -> None:
    assert all(parameter.ndim for parameter in build(text_model, dbeta=dbeta.Config()).parameters())


def test_dropout_is_for_training(text_model: str) -> None:
    model = build(text_model, dbeta=dbeta.Config())
    with torch.no_grad():
        noisy, calm, again = model(make(), 1)[1], model.eval()(make(), 1)[1], model(make(), 1)[1]
    assert noisy != calm
    assert calm == again
