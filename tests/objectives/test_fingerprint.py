"""TS-Fingerprint: what the tokens hold, what reaches the drawing, and what each term does to them."""

from dataclasses import replace

import pytest
import torch
from batches import fill_padding, make, tiny
from torch import Tensor
from torch.nn import functional

from ecgfm.batch import Batch
from ecgfm.losses import rate
from ecgfm.model.encoded import Encoded
from ecgfm.model.pool import Project, Queries
from ecgfm.model.views import EcgView
from ecgfm.objectives.fingerprint import POOL, Config, as_tokens
from ecgfm.run import Optimizer
from ecgfm.train.engine import NonFiniteError, TorchEngine
from ecgfm.train.pretraining import Pretraining

SEED = 1


def build(text: str, config: Config = Config()) -> Pretraining:  # noqa: B008
    torch.manual_seed(0)
    return Pretraining(tiny(text), {"fingerprint": config}).eval()


@pytest.fixture(scope="module")
def model(text_model: str) -> Pretraining:
    return build(text_model)


def terms(model: Pretraining, batch: Batch, seed: int = SEED) -> dict[str, Tensor]:
    with torch.no_grad():
        return {name.removeprefix("fingerprint/"): value for name, value in model(batch, seed)[1].items()}


def tokens(model: Pretraining, batch: Batch, view: EcgView = EcgView()) -> Tensor:  # noqa: B008
    with torch.no_grad():
        return Encoded(model.towers, batch, SEED).embed(view, POOL)


def test_no_text_encoder_is_built(model: Pretraining) -> None:
    assert model.towers.text is None


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16, 32])
def test_any_number_of_tokens_of_any_length_and_leads(text_model: str, count: int) -> None:
    model = build(text_model, Config(terms={"mem": 1.0, "tcr": 0.1, "slots": 0.1}, pool=Queries(count)))
    for batch in (make(3), make(3, samples=1600), make(3, samples=32, ragged=False)):
        assert tokens(model, batch).shape == (3, count, 128)
        assert all(value.isfinite() for value in terms(model, batch).values())


@pytest.mark.parametrize("view", [EcgView(), Config().view])
def test_padding_and_missing_leads_change_nothing(model: Pretraining, view: EcgView) -> None:
    batch = make(6)
    other = fill_padding(batch, signal=12_345, scale=9.0, words=40)
    assert not torch.equal(batch.signal, other.signal)
    assert torch.equal(tokens(model, batch, view), tokens(model, other, view))
    assert terms(model, batch) == terms(model, other)


def test_errors_are_over_dropped_and_kept_patches_of_recorded_leads(model: Pretraining) -> None:
    batch = make(5)
    seen = Encoded(model.towers, batch, SEED)
    with torch.no_grad():
        ecg = seen.ecg(Config().view)
        valid = seen.signal.valid()
        guess = model.objectives["fingerprint"].decoder(seen.embed(Config().view, POOL), valid)
    errors: dict[str, list[float]] = {"mem": [], "kept": []}
    for row in range(5):
        patches = seen.signal.patches()[row].view(-1, 12, 16)
        kept = set(ecg.kept[row].tolist())
        for place in range(int(batch.length[row]) // 16):
            error = (guess[row, place].view(12, 16) - patches[place]).square().mean(-1)
            errors["kept" if place in kept else "mem"] += error[batch.leads[row]].tolist()
    made = terms(model, batch)
    assert {name: made[name].item() for name in errors} == pytest.approx(
        {name: sum(some) / len(some) for name, some in errors.items()}, rel=1e-5
    )
    dropped = ecg.dropped.sum(1) / valid.sum(1)
    assert dropped.tolist() == pytest.approx([0.6] * 5, abs=0.1)


def test_what_is_drawn_is_what_a_loss_is_over(text_model: str) -> None:
    seen = Encoded(build(text_model).towers, make(), SEED)
    valid, dropped = seen.signal.valid(), seen.ecg(Config().view).dropped
    for names, expected in ((("mem",), dropped), (("kept",), valid & ~dropped), (("mem", "kept"), valid)):
        made = build(text_model, Config(terms=dict.fromkeys(names, 1.0))).objectives["fingerprint"].guess(seen)
        assert torch.equal(made.taught, expected)
        assert torch.equal(made.ecg.dropped, dropped)


def test_what_was_dropped_reaches_neither_tokens_nor_drawing(model: Pretraining) -> None:
    """The pairs of samples in the dropped patches in reverse: their moments, which the norm over time reads, stay."""
    batch = make(4, ragged=False)
    dropped = Encoded(model.towers, batch, SEED).ecg(Config().view).dropped
    signal = batch.signal.clone()
    for row in range(4):
        places = torch.arange(400).view(25, 8, 2)[dropped[row]].view(-1, 2)
        signal[row, :, places.flatten()] = signal[row, :, places.flip(0).flatten()]
    other = replace(batch, signal=signal)
    assert (signal != batch.signal).any(1).float().mean() > 0.5
    before, after = (tokens(model, these, Config().view) for these in (batch, other))
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)
    assert (tokens(model, batch) - tokens(model, other)).abs().max() > 1e-2


@pytest.mark.parametrize("place", [0, 3, 7])
def test_every_token_takes_part_in_the_drawing(model: Pretraining, place: int) -> None:
    batch = make(3)
    seen, decoder = Encoded(model.towers, batch, SEED), model.objectives["fingerprint"].decoder
    with torch.no_grad():
        own = seen.embed(Config().view, POOL)
        other = own.clone()
        other[:, place] = -other[:, place]
        before, after = (decoder(these, seen.signal.valid()) for these in (own, other))
    assert not torch.allclose(before, after, atol=1e-4)


def test_the_drawing_is_of_the_tokens_alone(model: Pretraining) -> None:
    """Other records with the same tokens are drawn alike."""
    here, there = make(3, seed=0, ragged=False), make(3, seed=1, ragged=False)
    decoder = model.objectives["fingerprint"].decoder
    with torch.no_grad():
        signals = [Encoded(model.towers, batch, SEED).signal for batch in (here, there)]
        own = tokens(model, here)
        assert torch.equal(decoder(own, signals[0].valid()), decoder(own, signals[1].valid()))
    assert not torch.equal(signals[0].millivolts, signals[1].millivolts)


def test_the_rates_are_those_of_the_tokens(text_model: str) -> None:
    model = build(text_model, Config(terms={"mem": 1.0, "tcr": 0.1, "slots": 0.1}))
    batch = make(6)
    z = functional.normalize(tokens(model, batch, Config().view).double(), dim=-1)
    within = torch.stack([torch.logdet(torch.eye(8) + 128 / (8 * 0.5) * one @ one.T) / 2 for one in z])
    across = torch.stack([torch.logdet(torch.eye(6) + 128 / (6 * 0.5) * one @ one.T) / 2 for one in z.transpose(0, 1)])
    made = terms(model, batch)
    assert made["tcr"].item() == pytest.approx(1 - within.mean().item() / rate.highest(8, 128, 0.5), abs=1e-4)
    assert made["slots"].item() == pytest.approx(1 - across.mean().item() / rate.highest(6, 128, 0.5), abs=1e-4)


def test_a_fingerprint_that_is_the_same_for_all_costs_in_slots_alone(text_model: str) -> None:
    """Constants at right angles: what tcr alone cannot tell from a good fingerprint."""
    model = build(text_model, Config(terms={"mem": 1.0, "tcr": 0.1, "slots": 0.1}))
    model.towers.pools[POOL].register_forward_hook(lambda _, given, made: torch.eye(8, 128).expand(len(made), -1, -1))
    made = terms(model, make(6))
    assert made["tcr"].item() == pytest.approx(0, abs=1e-5)
    assert made["slots"].item() == pytest.approx(1 - rate.lowest(128, 0.5) / rate.highest(6, 128, 0.5), abs=1e-5)


@pytest.mark.parametrize("over", ["mean", "first"])
def test_one_vector_is_a_fingerprint_of_one_token(text_model: str, over: str) -> None:
    model = build(text_model, Config(terms={"mem": 1.0, "tcr": 0.1, "slots": 0.1}, pool=Project(over)))
    batch = make(6)
    assert as_tokens(tokens(model, batch)).shape == (6, 1, 128)
    made = terms(model, batch)
    assert made["tcr"].item() == pytest.approx(0, abs=1e-6)
    assert 0 < made["slots"] < 1
    assert made["mem"] > 0


def train(text: str, config: Config, steps: int) -> Pretraining:
    torch.manual_seed(0)
    model = Pretraining(tiny(text), {"fingerprint": config})
    engine = TorchEngine(model, model.groups(), Optimizer(rates=dict.fromkeys(("ecg", "text", "heads"), 1e-3)))
    batch = make(16, samples=160)
    for step in range(steps):
        engine.step(*engine(batch, step), factor=1.0)
    return model.eval()


def cosine(model: Pretraining) -> float:
    z = functional.normalize(tokens(model, make(16, samples=160)), dim=-1)
    between = ~torch.eye(z.shape[1], dtype=torch.bool)
    return (z @ z.mT)[:, between].abs().mean().item()


def test_the_rate_pushes_tokens_apart(text_model: str) -> None:
    """Those that look anywhere begin nearly alike, and without the rate stay so."""
    anywhere = Queries(local=False)
    without = train(text_model, Config(terms={"mem": 1.0, "tcr": 0.0}, pool=anywhere), 20)
    with_ = train(text_model, Config(terms={"mem": 1.0, "tcr": 0.1}, pool=anywhere), 20)
    assert cosine(build(text_model, Config(pool=anywhere))) > 0.8
    assert cosine(without) > 0.8
    assert cosine(with_) < 0.4


def test_tokens_of_stretches_learn_to_draw_sooner(text_model: str) -> None:
    """16 recordings by heart, in as many steps: queries that look anywhere have to find their stretches first."""
    made = {}
    for local in (True, False):
        pool = Queries(32, local=local)
        model = train(text_model, Config(terms={"kept": 1.0}, pool=pool, tokens=0.0), 100)
        made[local] = terms(model, make(16, samples=160))["kept"].item()
    assert made[True] < 0.2 < 0.3 < made[False]


def test_a_token_that_is_not_a_number_stops_the_step(text_model: str) -> None:
    model = build(text_model)
    model.towers.pools[POOL].register_forward_hook(lambda _, given, made: made * torch.nan)
    engine = TorchEngine(model, model.groups(), Optimizer())
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(NonFiniteError, match="fingerprint/tcr"):
        engine.step(*engine(make(4), SEED), factor=1.0)
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("terms", [{}, {"mlm": 1.0}])
def test_unknown_terms_are_refused(terms: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="mem, kept, tcr, slots"):
        Config(terms=terms)
