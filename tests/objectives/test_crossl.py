"""CroSSL: masks of latents, and each defect of the published code as a test that it would fail."""

from dataclasses import replace

import pytest
import torch
from batches import fill_padding, make, with_pulse
from torch import Tensor

from ecgfm.batch import Batch
from ecgfm.model.config import SIZES, TowerConfig
from ecgfm.model.encoded import Encoded
from ecgfm.model.views import EcgView
from ecgfm.objectives.crossl import POOL, Config, Masking, survivors
from ecgfm.train.pretraining import Pretraining

MASKINGS: tuple[Masking, ...] = ("spatial", "temporal", "random")


def build(config: Config = Config()) -> Pretraining:  # noqa: B008
    torch.manual_seed(0)
    return Pretraining(TowerConfig(heads=SIZES["tiny"], text=None), {"crossl": config}).eval()


def terms(model: Pretraining, batch: Batch, seed: int = 1) -> dict[str, float]:
    with torch.no_grad():
        return {name.partition("/")[2]: value.item() for name, value in model(batch, seed)[1].items()}


def draws(rows: int, modalities: int, stretches: int) -> Tensor:
    return torch.rand(rows, modalities, stretches, generator=torch.Generator().manual_seed(0))


# Masks.


@pytest.mark.parametrize("masking", MASKINGS)
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 1.0])
def test_a_cell_always_survives(masking: Masking, keep: float) -> None:
    """Published: all latents are hidden at once with probability (1 - keep)^M."""
    there = draws(20_000, 3, 4) < torch.rand(20_000, 1, 1)
    left = survivors(there, draws(20_000, 3, 4).flip(0), masking, keep)
    assert torch.equal(left.any((1, 2)), there.any((1, 2)))
    assert not (left & ~there).any()
    if keep == 1:
        assert torch.equal(left, there)


@pytest.mark.parametrize("masking", MASKINGS)
def test_as_many_stay_as_keep_says(masking: Masking) -> None:
    """A unit stays with probability keep, and one of U stays where all would go: (1 - keep)^U / U more for each."""
    rows, m, s, keep = 20_000, 3, 4, 0.3
    left = survivors(torch.ones(rows, m, s, dtype=torch.bool), draws(rows, m, s), masking, keep)
    units = {"spatial": m, "temporal": s, "random": m * s}[masking]
    expected = keep + (1 - keep) ** units / units
    spread = (expected * (1 - expected) / rows) ** 0.5
    for share in left.float().mean(0).flatten().tolist():
        assert abs(share - expected) < 5 * spread


def test_what_each_masking_hides_together() -> None:
    """Published: temporal masks have the shape (B, 1, K * K), which meets no latent."""
    there = torch.ones(500, 3, 4, dtype=torch.bool)
    left = {masking: survivors(there, draws(500, 3, 4), masking, 0.5) for masking in MASKINGS}
    assert (left["spatial"] == left["spatial"][:, :, :1]).all()
    assert (left["temporal"] == left["temporal"][:, :1]).all()
    for whole_lines in (0, 1, 2):
        assert (left["random"] != left["random"].roll(1, whole_lines)).any()
    assert left["temporal"].any(2).all()  # no modality is ever missing
    assert not left["spatial"].any(2).all()


def test_two_draws_hide_on_their_own() -> None:
    """Both keep a modality, or both hide it, as often as chance has it: keep^2 + (1 - keep)^2."""
    batch = make(records=4000, samples=16, ragged=False)
    objective = build(Config(stretches=1, groups="leads")).objectives["crossl"]
    seen = Encoded(build().towers, batch, seed=1)
    one, two = objective.views(torch.ones(4000, 12, dtype=torch.bool), seen)
    assert (one == two).float().mean().item() == pytest.approx(0.6**2 + 0.4**2, abs=0.01)
    again = objective.views(torch.ones(4000, 12, dtype=torch.bool), seen)
    assert torch.equal(one, again[0])


def test_a_survivor_is_one_that_was_recorded() -> None:
    batch = make(records=400, samples=32)
    model = build(Config(keep=0.0))
    seen = Encoded(model.towers, batch, seed=1)
    there = seen.cells(EcgView(), model.towers.pools[POOL].config).mask
    for left in model.objectives["crossl"].views(there, seen):
        assert torch.equal(left.any(1), there.any(1))
        assert not (left & ~there).any()
        assert left.unflatten(1, (3, -1)).any(2).sum(1).eq(1).all()


# The whole.


def test_nothing_hidden_nothing_differs() -> None:
    assert terms(build(Config(keep=1.0)), make())["invariance"] == 0
    for masking in MASKINGS:
        assert terms(build(Config(keep=0.5, masking=masking)), make())["invariance"] > 0


def test_terms_are_vicreg_of_the_two_views() -> None:
    model, batch = build(), make()
    pool, made = model.towers.pools[POOL], []
    handle = pool.register_forward_hook(lambda _, given, out: made.append(out.double()))
    found = terms(model, batch)
    handle.remove()
    x, y = made
    assert found["invariance"] == pytest.approx((x - y).square().mean().item(), rel=1e-4)
    hinge = [(1 - (z.var(0) + 1e-4).sqrt()).clamp(min=0).mean().item() for z in (x, y)]
    assert found["variance"] == pytest.approx(sum(hinge) / 2, rel=1e-4)
    off = [(torch.cov(z.T) - torch.cov(z.T).diagonal().diag()).square().sum().item() / z.shape[1] for z in (x, y)]
    assert found["covariance"] == pytest.approx(sum(off), rel=1e-3)


def test_what_is_hidden_reaches_no_view() -> None:
    """Content of hidden cells, whatever it is, changes no bit."""
    model, batch = build(Config(keep=0.4, masking="random")), make()
    pool = model.towers.pools[POOL]
    seen = Encoded(model.towers, batch, seed=1)
    there = seen.cells(EcgView(), pool.config)
    for left in model.objectives["crossl"].views(there.mask, seen):
        noise = torch.where(left[:, :, None], there.tokens, torch.inf)
        assert torch.equal(pool(noise, left), pool(there.tokens, left))


def test_hidden_in_training_is_missing_afterwards() -> None:
    """A view that hides a group gives the vector of a record without those leads."""
    model, batch = build(Config(masking="spatial", keep=0.5)), make(ragged=False)
    pool = model.towers.pools[POOL]
    seen = Encoded(model.towers, batch, seed=1)
    there = seen.cells(EcgView(), pool.config)
    left, _ = model.objectives["crossl"].views(there.mask, seen)
    groups = left.unflatten(1, (3, -1)).any(2)
    assert not groups.all()
    leads = groups.repeat_interleave(torch.tensor([3, 3, 6]), dim=1)
    missing = Encoded(model.towers, replace(batch, leads=leads), seed=1).embed(EcgView(), POOL)
    torch.testing.assert_close(missing, pool(there.tokens, left), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masking", MASKINGS)
def test_padding_and_missing_leads_change_no_loss(masking: Masking) -> None:
    batch = with_pulse(make())
    other = fill_padding(batch, signal=-4_321, scale=3.0, words=29)
    model = build(Config(masking=masking, kinds=("ppg",)))
    assert terms(model, batch) == terms(model, other)


def test_each_modality_is_encoded_once_for_both_views() -> None:
    model, batch = build(Config(kinds=("ppg",))), with_pulse(make())
    seen = Encoded(model.towers, batch, seed=1)
    model.objectives["crossl"](seen)
    assert seen.passes == 4


def test_another_kind_has_an_encoder_that_learns_and_no_one_else_builds_it() -> None:
    model = build(Config(kinds=("ppg",)))
    loss, _ = model(with_pulse(make()), 1)
    loss.backward()
    idle = [n for n, p in model.towers.others["ppg"].named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == ["missing"]  # one channel is never missing beside another
    assert "towers.others.ppg.summary" not in {n for n, _ in build().named_parameters()}
    ecg = {id(p) for p in model.groups()["ecg"]}
    assert {id(p) for p in model.towers.parameters()} == ecg


@pytest.mark.parametrize("depth", [1, 3])
def test_the_aggregator_is_as_deep_as_is_asked(depth: int) -> None:
    assert len(build(Config(depth=depth)).towers.pools["crossl"].blocks) == depth


def test_a_record_without_a_pulse_wave_learns_from_its_leads() -> None:
    """Its terms are those of a batch that has no such channels at all."""
    model, batch = build(Config(kinds=("ppg",))), with_pulse(make())
    pulse = batch.others["ppg"]
    none = replace(batch, others={"ppg": pulse._replace(leads=torch.zeros_like(pulse.leads))})
    assert terms(model, none) == terms(model, replace(batch, others={}))
    assert terms(model, none) != terms(model, batch)


def test_an_embedding_is_the_same_in_any_mode() -> None:
    model, batch = build(), make()
    calm = Encoded(model.eval().towers, batch, 0).embed(EcgView(), POOL)
    assert torch.equal(Encoded(model.train().towers, batch, 5).embed(EcgView(), POOL), calm)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"terms": {"invariance": 1.0, "invarience": 1.0}}, "invariance, variance, covariance"),
        ({"keep": 1.5}, "between 0 and 1"),
        ({"kinds": ("eda",)}, "ppg"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Config(**wrong)


def test_a_term_left_out_is_left_out() -> None:
    assert terms(build(Config(terms={"variance": 1.0})), make()).keys() == {"variance"}


def test_it_learns() -> None:
    """The vectors spread, and by far more than the two views of a record differ."""
    model, batch = build(), make(samples=96)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    before = terms(model, batch)
    for step in range(30):
        loss, _ = model(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = terms(model, batch)
    assert after["variance"] < 0.8 * before["variance"]
    spread = Encoded(model.towers, batch, seed=1).embed(EcgView(), POOL).var(0).mean().item()
    assert after["invariance"] < 0.3 * spread
