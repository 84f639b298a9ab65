"""The aggregator: any subset of modalities, and what is missing reaches no vector."""

from dataclasses import replace

import pytest
import torch
from batches import fill_padding, make, reorder, with_pulse

from ecgfm.batch import Batch
from ecgfm.data.record import LEADS
from ecgfm.model.aggregate import GROUPS, Aggregate, cells
from ecgfm.model.config import SIZES, TowerConfig
from ecgfm.model.encoded import Encoded
from ecgfm.model.patches import PATCH
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView

POOLS = {
    "regions": Aggregate("regions", ("ppg",), stretches=5),
    "leads": Aggregate("leads", stretches=3),
    "whole": Aggregate("whole", ("ppg",), stretches=1),
    "own": Aggregate("regions", stretches=5, own=True),
}


@pytest.fixture(scope="module")
def towers() -> Towers:
    torch.manual_seed(0)
    return Towers(TowerConfig(heads=SIZES["tiny"], text=None, pools=POOLS, others=("ppg",))).eval()


def embed(towers: Towers, batch: Batch, pool: str, view: EcgView = EcgView()) -> torch.Tensor:  # noqa: B008
    with torch.no_grad():
        return Encoded(towers, batch, seed=1).embed(view, pool)


def without(batch: Batch, *leads: str) -> Batch:
    there = batch.leads & torch.tensor([lead not in leads for lead in LEADS])
    return replace(batch, leads=there)


@pytest.mark.parametrize("name", GROUPS)
def test_every_lead_stands_in_one_group(name: str) -> None:
    assert sorted(lead for group in GROUPS[name] for lead in group) == sorted(LEADS)


def test_a_modality_is_a_pass(towers: Towers) -> None:
    for pool, passes in (("regions", 4), ("leads", 12), ("whole", 2)):
        seen = Encoded(towers, with_pulse(make()), seed=1)
        assert seen.embed(EcgView(), pool).shape == (8, towers.config.width)
        assert seen.passes == passes
    seen = Encoded(towers, with_pulse(make()), seed=1)
    seen.embed(EcgView(), "regions"), seen.embed(EcgView(), "whole"), seen.ecg()
    assert seen.passes == 5  # the pulse wave is seen once, and the whole ECG is the view of that name


def test_a_group_of_leads_may_have_an_encoder_of_its_own() -> None:
    """What an encoder learns is of its leads alone, and the ECG tower, which shares them elsewhere, is not asked."""
    config = TowerConfig(heads=SIZES["tiny"], text=None, pools={"own": POOLS["own"], "regions": POOLS["regions"]})
    own = Towers(replace(config, others=("ppg",)))
    assert own.ecg is not None
    assert [*own.groups] == ["I+II+III", "V1+V2+V3+V4+V5+V6", "aVR+aVL+aVF"]
    seen = Encoded(own, make(ragged=False), seed=1)
    made = seen.cells(EcgView(), POOLS["own"])
    made.tokens[:, 10:].square().sum().backward()  # of the precordial leads
    assert {name for name, p in own.named_parameters() if p.grad is not None and p.grad.any()} == {
        f"groups.V1+V2+V3+V4+V5+V6.{name}" for name, _ in own.ecg.named_parameters()
    }
    assert not torch.equal(made.tokens, seen.cells(EcgView(), replace(POOLS["regions"], kinds=())).tokens)
    assert seen.passes == 6


def test_towers_of_which_nothing_reads_all_leads_at_once_have_no_encoder_of_them() -> None:
    own = Towers(TowerConfig(heads=SIZES["tiny"], text=None, pools={"own": POOLS["own"]}))
    assert own.ecg is None
    seen = Encoded(own, make(ragged=False), seed=1)
    assert seen.embed(EcgView(), "own").isfinite().all()
    with pytest.raises(ValueError, match="an encoder for each group of leads and none of all"):
        seen.ecg()


def test_a_cell_is_the_mean_of_its_stretch(towers: Towers) -> None:
    """In a naive rewriting: patch k of n lies in stretch k * S // n."""
    seen = Encoded(towers, make(), seed=1)
    features, counts = seen.ecg(), seen.signal.counts
    made = cells(features, counts, 5)
    for row, count in enumerate(counts.tolist()):
        for stretch in range(5):
            members = [k for k in range(count) if k * 5 // count == stretch]
            assert made.mask[row, stretch] == bool(members)
            expected = features.tokens[row, 1:][members].mean(0) if members else torch.zeros(towers.config.width)
            torch.testing.assert_close(made.tokens[row, stretch], expected)


def test_a_wave_that_ends_early_fills_the_stretches_that_it_was_there_for(towers: Towers) -> None:
    batch = make(ragged=False)
    pulse = with_pulse(batch).others["ppg"]
    lengths = torch.full_like(pulse.length, pulse.signal.shape[2])
    lengths[1::2] = lengths[1::2] * 2 // 5
    there = pulse._replace(leads=torch.ones_like(pulse.leads), length=lengths)
    made = Encoded(towers, replace(batch, others={"ppg": there}), seed=1).cells(EcgView(), POOLS["regions"])
    *leads, beside = made.mask.unflatten(1, (4, 5)).unbind(1)
    assert all(group.all() for group in leads)
    assert beside[0::2].all()
    assert beside[1::2].tolist() == [[True, True, False, False, False]] * 4


@pytest.mark.parametrize("pool", POOLS)
def test_padding_and_missing_leads_change_no_bit(towers: Towers, pool: str) -> None:
    batch = with_pulse(make())
    other = fill_padding(batch, signal=-4_321, scale=3.0, words=29)
    pulse = batch.others["ppg"]
    past = torch.arange(pulse.signal.shape[2]) >= pulse.length[:, None, None]
    noise = pulse._replace(
        signal=torch.where(past, 777, pulse.signal).short(),
        scale=torch.where(pulse.leads, pulse.scale, 5.0),
        offset=torch.where(pulse.leads, pulse.offset, -2.0),
    )
    assert torch.equal(embed(towers, batch, pool), embed(towers, replace(other, others={"ppg": noise}), pool))


def test_more_padding_changes_nothing(towers: Towers) -> None:
    batch = make()
    wide = replace(batch, signal=torch.nn.functional.pad(batch.signal, (0, 10 * PATCH)))
    for pool in POOLS:
        torch.testing.assert_close(embed(towers, wide, pool), embed(towers, batch, pool), rtol=1e-4, atol=1e-5)


def test_a_missing_modality_is_one_that_is_dropped(towers: Towers) -> None:
    """Leads that were not recorded, a view that does not show them, and cells left out: all the same."""
    batch, pool = with_pulse(make(ragged=False)), towers.pools["regions"]
    gone = embed(towers, without(batch, "V1", "V2", "V3", "V4", "V5", "V6"), "regions")
    limbs = EcgView(groups=LEADS[:6])
    torch.testing.assert_close(embed(towers, batch, "regions", limbs), gone, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        whole = Encoded(towers, batch, seed=1).cells(EcgView(), pool.config)
        mask = whole.mask.unflatten(1, (4, 5)).clone()
        mask[:, 2] = False
        torch.testing.assert_close(pool(whole.tokens, mask.flatten(1)), gone, rtol=1e-4, atol=1e-5)
        noise = torch.where(mask.flatten(1)[:, :, None], whole.tokens, torch.nan)
        assert torch.equal(pool(noise, mask.flatten(1)), pool(whole.tokens, mask.flatten(1)))


def test_a_batch_without_a_kind_is_one_where_no_record_has_it(towers: Towers) -> None:
    batch = with_pulse(make())
    pulse = batch.others["ppg"]
    none = replace(batch, others={"ppg": pulse._replace(leads=torch.zeros_like(pulse.leads))})
    for pool in ("regions", "whole"):
        assert torch.equal(embed(towers, none, pool), embed(towers, make(), pool))
        lacking = ~pulse.leads[:, 0]
        torch.testing.assert_close(embed(towers, batch, pool)[lacking], embed(towers, none, pool)[lacking])
        moved = (embed(towers, batch, pool) - embed(towers, none, pool))[~lacking]
        assert (moved.abs().amax(1) > 1e-4).all()


def test_the_pulse_wave_alone(towers: Towers) -> None:
    """What the ECG holds cannot matter where no lead was recorded."""
    batch = with_pulse(make())
    alone, other = without(batch, *LEADS), replace(without(make(seed=3), *LEADS), others=batch.others)
    other = replace(other, record=batch.record)
    there = batch.others["ppg"].leads[:, 0]
    for pool in ("regions", "whole"):
        vectors = embed(towers, alone, pool)
        assert torch.equal(vectors, embed(towers, other, pool))
        assert (vectors[there] - vectors[there][0]).abs().amax(1).count_nonzero() == there.sum() - 1
        assert torch.equal(vectors[~there], vectors[~there][:1].expand(int((~there).sum()), -1))  # nothing to see


def test_vectors_differ_before_anything_is_learnt(towers: Towers) -> None:
    vectors = embed(towers, make(records=32, ragged=False), "regions")
    assert vectors.std(0).mean() > 0.03 * vectors.square().mean().sqrt()


def test_records_do_not_see_each_other(towers: Towers) -> None:
    batch, turned = with_pulse(make()), list(range(7, -1, -1))
    for pool in POOLS:
        backwards = embed(towers, reorder(batch, turned), pool).flip(0)
        torch.testing.assert_close(backwards, embed(towers, batch, pool), rtol=1e-4, atol=1e-5)


def test_a_view_hides_leads_in_every_group(towers: Towers) -> None:
    batch = make(ragged=False)
    seen = Encoded(towers, batch, seed=1)
    seen.cells(EcgView(leads=0.5), POOLS["regions"])
    for group in GROUPS["regions"]:
        leads = seen.ecg(EcgView(leads=0.5, groups=group)).leads
        assert not leads[:, [lead not in group for lead in LEADS]].any()
        assert leads.any(1).all()
        assert not leads[:, [lead in group for lead in LEADS]].all()


@pytest.mark.parametrize(("wrong", "told"), [({"kinds": ("eda",)}, "ppg"), ({"stretches": 0}, "at least one")])
def test_what_cannot_be_is_refused(wrong: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Aggregate(**wrong)
