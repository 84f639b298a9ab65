"""What every method promises (ecgfm/objectives/__init__.py). A file in ecgfm/objectives/ is found by itself; a method
of your own is held to the same by

    pytest tests/objectives/test_contract.py --objective mypackage.mymethod
"""

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import ranks
import torch
from batches import fill_padding, make, reorder, tiny
from torch import Tensor

from ecgfm.losses.gather import rank, total, world
from ecgfm.model.towers import Towers
from ecgfm.objectives import find, names
from ecgfm.train.pretraining import Pretraining

ROWS = 8
OWN = {"crossl+own": {"own": True}}  # an encoder for each group, which no other method has
FORMS = OWN | {  # other ways through a method, which are held to what padding and several ranks may not change
    "crossl+random": {"masking": "random"},
    "crossl+temporal": {"masking": "temporal"},
    "dbeta+published": {"published_ets": True},
    "dense+joint": {"of": "joint"},
    "dense+text": {"of": "text"},
    "fingerprint+slots": {"terms": {"mem": 1.0, "kept": 1.0, "tcr": 0.02, "slots": 0.02}},
    "merit+sigmoid": {"loss": "sigmoid"},
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = metafunc.config.getoption("--objective", default=None)
    for fixture, forms in (("method", OWN), ("form", FORMS)):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, [chosen] if chosen else [*names(), *forms])


def config(method: str) -> Any:
    """Of a method as it is, or of one of its forms."""
    return replace(find(method.partition("+")[0]).Config(), **FORMS.get(method, {}))


def build(method: str, text: str) -> Pretraining:
    torch.manual_seed(0)
    return Pretraining(tiny(text, dropout=0.1), {"method": config(method)})


def terms(model: Pretraining, seed: int = 1, order: range = range(ROWS)) -> dict[str, Tensor]:
    with torch.no_grad():
        return model(reorder(make(ROWS), order), seed)[1]


def gradients(method: str, text: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of the world batch, as an engine that averages over ranks sees them."""
    model = build(method, text)
    part = slice(rank() * ROWS // world(), (rank() + 1) * ROWS // world())
    loss, _ = model(make(ROWS)[part], 1)
    loss.backward()
    return total(loss.detach()) / world(), {
        name: total(torch.zeros_like(p) if p.grad is None else p.grad) / world() for name, p in model.named_parameters()
    }


def test_config_is_a_value(method: str) -> None:
    made = config(method)
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(AttributeError):
        made.terms = {}


def test_terms_are_those_declared_and_finite_scalars(method: str, text_model: str) -> None:
    made = terms(build(method, text_model))
    assert made.keys() == {f"method/{term}" for term in config(method).terms}
    for value in made.values():
        assert value.shape == ()
        assert value.isfinite()


def test_every_head_and_the_ecg_tower_learn(method: str, text_model: str) -> None:
    _, found = gradients(method, text_model)
    learning = {name: g for name, g in found.items() if not name.startswith("towers.text.")}
    # A bias of keys moves all scores of a query alike: its gradient is zero but for rounding.
    assert [name for name, gradient in learning.items() if not gradient.any()] == []


def test_it_keeps_no_towers_and_no_parameter_without_a_dimension(method: str, text_model: str) -> None:
    objective = build(method, text_model).objectives["method"]
    assert [name for name, p in objective.named_parameters() if not p.ndim] == []
    assert not any(isinstance(part, Towers) for part in objective.modules())


def test_same_seed_same_loss(method: str, text_model: str) -> None:
    model = build(method, text_model)
    torch.manual_seed(1)
    first = terms(model)
    torch.manual_seed(2)
    again = terms(model)
    assert first == again
    assert first != terms(model, seed=2)


def test_padding_and_missing_leads_change_nothing(form: str, text_model: str) -> None:
    model, batch = build(form, text_model), make(ROWS)
    with torch.no_grad():
        ours, theirs = (model(b, 1)[1] for b in (batch, fill_padding(batch, signal=4_321, scale=3.0, words=29)))
    assert ours == theirs


def test_order_of_records_does_not_matter(method: str, text_model: str) -> None:
    model = build(method, text_model)
    straight, turned = terms(model), terms(model, order=range(ROWS - 1, -1, -1))
    torch.testing.assert_close(turned, straight, rtol=1e-4, atol=1e-5)


def test_two_ranks_are_one_batch(form: str, text_model: str) -> None:
    loss, whole = gradients(form, text_model)
    for other, halves in ranks.run(2, gradients, form, text_model):
        torch.testing.assert_close(other, loss, rtol=1e-5, atol=1e-6)
        for name, gradient in whole.items():
            scale = gradient.abs().max().item()
            torch.testing.assert_close(
                halves[name], gradient, rtol=2e-3, atol=2e-5 * max(1, scale), msg=lambda m, name=name: f"{name}: {m}"
            )


def test_a_collapsed_embedding_costs_more(method: str, text_model: str) -> None:
    spreading = getattr(find(method.partition("+")[0]), "SPREADING", ())
    if not spreading:
        pytest.skip("the method names no SPREADING terms")

    def cost(change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        model = build(method, text_model)
        pools = [*model.towers.pools.values()] + ([] if model.towers.text is None else [model.towers.text.pool])
        for pool in pools:
            pool.register_forward_hook(lambda _, given, made: change(made))
        return terms(model)

    collapsed, random = cost(lambda x: torch.ones_like(x)), cost(lambda x: torch.randn(x.shape))
    for term in spreading:
        assert collapsed[f"method/{term}"] > random[f"method/{term}"]


def test_bf16(method: str, text_model: str) -> None:
    model = build(method, text_model)
    with torch.autocast("cpu", torch.bfloat16):
        loss, made = model(make(ROWS), 1)
    loss.backward()
    assert {value.dtype for value in made.values()} == {torch.float32}
    torch.testing.assert_close(
        {name: value.detach() for name, value in made.items()}, terms(model), rtol=0.05, atol=0.05
    )
