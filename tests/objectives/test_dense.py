"""Dense features: whose vectors they look at, who is paired with whom, and what a combined run costs."""

from dataclasses import replace
from typing import Literal

import pytest
import ranks
import torch
from batches import fill_padding, make, reorder, tiny
from torch import Tensor
from torch.nn import functional

from ecgfm.batch import Batch
from ecgfm.losses import spectrum
from ecgfm.losses.gather import rank, total, world
from ecgfm.model.encoded import Encoded
from ecgfm.model.views import EcgView, TextView
from ecgfm.objectives import dbeta, dense, fingerprint, merit
from ecgfm.train.pretraining import Pretraining

ROWS = 8
Of = Literal["ecg", "text", "joint"]
OF: tuple[Of, ...] = ("ecg", "text", "joint")


def build(text: str, config: dense.Config, **beside) -> Pretraining:
    torch.manual_seed(0)
    return Pretraining(tiny(text), {**beside, "dense": config}).eval()


def paired(rows: int = ROWS) -> Batch:
    """Two visits of every subject, one in either half, and two rows without a report."""
    batch = make(rows)
    report = torch.where(torch.arange(rows) % 5 == 3, -1, batch.report)
    return replace(batch, subject=batch.subject[: rows // 2].repeat(2), report=report)


def terms(model: Pretraining, batch: Batch, seed: int = 1) -> dict[str, Tensor]:
    with torch.no_grad():
        return {n.partition("/")[2]: v for n, v in model(batch, seed)[1].items() if n.startswith("dense/")}


def test_what_it_asks_for_follows_from_what_it_does() -> None:
    spread = {"balance": 1.0}
    assert dense.Config().columns == ("visits",)
    assert dense.Config(terms=spread).columns == ()
    assert dense.Config(terms=spread, of="joint").columns == ("text",)
    assert dense.Config(of="text", read=TextView(far=0.5)).columns == ("text", "far", "visits")
    assert dense.Config(read=TextView(far=0.5)).columns == ("visits",)
    assert dense.Config().pools.keys() == {"summary"}
    assert dense.Config(of="text").pools == dense.Config(pool=merit.POOL).pools == {}
    with pytest.raises(ValueError, match="dense has balance, orthogonality, consistency"):
        dense.Config(terms={"balanc": 1.0})


@pytest.mark.parametrize("of", OF)
def test_each_term_alone_is_what_it_is_together(of: Of, text_model: str) -> None:
    whole = terms(build(text_model, dense.Config(of=of)), paired())
    assert [*whole] == ["balance", "orthogonality", "consistency"]
    for name, value in whole.items():
        assert 0 < value < 1
        alone = terms(build(text_model, dense.Config({name: 1.0}, of=of)), paired())
        torch.testing.assert_close(alone, {name: value}, rtol=0, atol=0)


def test_whose_vectors_they_are(text_model: str) -> None:
    """Rows without a report of their own: left out of the text, and their ECG alone in what is joint."""
    batch, other = paired(), make(ROWS, seed=7)
    none = batch.report < 0
    words = replace(batch, words=torch.where(none[:, None], other.words, batch.words))
    signal = replace(batch, signal=torch.where(none[:, None, None], other.signal, batch.signal))
    same, differs = ((), (words, signal), (words,)), ((signal,), (), (signal,))
    for of, alike, unlike in zip(OF, same, differs, strict=True):
        model = build(text_model, dense.Config(of=of))
        for changed in alike:
            assert terms(model, changed) == terms(model, batch)
        for changed in unlike:
            assert terms(model, changed) != terms(model, batch)


def test_a_far_report_is_not_the_record_s_own(text_model: str) -> None:
    model = build(text_model, dense.Config(of="text", read=TextView(far=1.0)))
    assert terms(model, replace(make(ROWS), report=torch.full((ROWS,), -1)))["balance"] == 1  # nobody is left
    half = build(text_model, dense.Config(of="joint", read=TextView(far=0.5)))
    other = replace(make(ROWS), far_words=make(ROWS, seed=3).words.clone())
    assert terms(half, make(ROWS)) == terms(half, other)


def test_visits(text_model: str) -> None:
    model = build(text_model, dense.Config())
    assert terms(model, make(ROWS))["consistency"] == 0  # nobody comes twice
    once, twice = make(4), make(4)
    batch = reorder(once, [0, 1, 2, 3, 0, 1, 2, 3])
    copies = replace(batch, record=torch.cat((once.record, twice.record + 100)))
    assert terms(model, copies)["consistency"] < 1e-9
    assert terms(model, paired())["consistency"] > 0.1
    shuffled = reorder(paired(), [5, 2, 7, 0, 1, 6, 3, 4])
    torch.testing.assert_close(terms(model, shuffled), terms(model, paired()), rtol=1e-4, atol=1e-6)


def test_padding_changes_nothing(text_model: str) -> None:
    model, batch = build(text_model, dense.Config(of="joint")), paired()
    assert terms(model, fill_padding(batch, signal=999, scale=3.0, words=5)) == terms(model, batch)


@pytest.mark.parametrize("of", OF)
def test_beside_another_method_it_makes_no_pass_of_its_own(of: Of, text_model: str) -> None:
    seen, read = EcgView(leads=0.5, tokens=0.75), TextView(words=0.25, far=0.5)
    model = build(text_model, dense.Config(of=of, seen=seen, read=read), dbeta=dbeta.Config())
    encoded = Encoded(model.towers, make(ROWS), 1)
    for objective in model.objectives.values():
        objective(encoded)
    assert encoded.passes == 3  # D-BETA's own


def test_on_another_method_s_vector(text_model: str) -> None:
    view = EcgView(tokens=0.5)
    model = build(text_model, dense.Config(pool=merit.POOL, seen=view), merit=merit.Config())
    encoded = Encoded(model.towers, paired(), 1)
    _, covariance = spectrum.moments(
        functional.normalize(encoded.embed(view, merit.POOL), dim=-1), torch.ones(ROWS) > 0
    )
    made = model.objectives["dense"](encoded)["orthogonality"]
    torch.testing.assert_close(made, spectrum.orthogonality(covariance))
    with pytest.raises(ValueError, match="no pool 'fingerprint' is built; there are merit"):
        build(text_model, dense.Config(pool="fingerprint"), merit=merit.Config())
    with pytest.raises(ValueError, match="give the towers a text encoder"):
        dense.Config(of="text").build(build(text_model, dense.Config()).towers)


def test_several_vectors_of_a_record_are_looked_at_through_their_mean(text_model: str) -> None:
    model = build(text_model, dense.Config(pool="fingerprint"), fingerprint=fingerprint.Config())
    encoded = Encoded(model.towers, paired(), 1)
    tokens = encoded.embed(EcgView(), "fingerprint")
    assert tokens.shape == (ROWS, 8, 128)
    _, covariance = spectrum.moments(functional.normalize(tokens.mean(1), dim=-1), torch.ones(ROWS) > 0)
    made = model.objectives["dense"](encoded)["orthogonality"]
    torch.testing.assert_close(made, spectrum.orthogonality(covariance))


def gradients(of: Of, text: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of the world batch, as an engine that averages over ranks sees them."""
    model = build(text, dense.Config(of=of))
    loss, _ = model(paired()[rank() * ROWS // world() : (rank() + 1) * ROWS // world()], 1)
    loss.backward()
    made = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}
    return total(loss.detach()) / world(), {name: total(gradient) / world() for name, gradient in made.items()}


@pytest.mark.parametrize("of", ["ecg", "joint"])
def test_two_ranks_are_one_batch_though_every_pair_is_split(of: Of, text_model: str) -> None:
    loss, whole = gradients(of, text_model)
    for other, halves in ranks.run(2, gradients, of, text_model):
        torch.testing.assert_close(other, loss, rtol=1e-5, atol=1e-6)
        for name, gradient in whole.items():
            scale = gradient.abs().max().item()
            torch.testing.assert_close(halves[name], gradient, rtol=2e-3, atol=2e-5 * max(1, scale))


@pytest.mark.parametrize(("term", "share"), [("balance", 0.9), ("orthogonality", 0.7), ("consistency", 0.2)])
def test_each_term_falls_where_it_is_trained(term: str, share: float, text_model: str) -> None:
    model, batch = build(text_model, dense.Config({term: 1.0})), paired(16)
    before = terms(model, batch)[term]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for _ in range(12):
        optimizer.zero_grad()
        model(batch, 1)[0].backward()
        optimizer.step()
    assert terms(model, batch)[term] < share * before
