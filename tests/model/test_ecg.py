"""The ECG tower: only kept patches enter, padding and missing leads change nothing, dropped patches stay unknown."""

from dataclasses import replace

import pytest
import torch
from batches import fill_padding, make
from torch import Tensor

from ecgfm.batch import Batch
from ecgfm.model.config import SIZES, TowerConfig
from ecgfm.model.ecg import EcgFeatures, EcgTower
from ecgfm.model.patches import read
from ecgfm.model.views import EcgView, kept_patches, seen_leads

TINY = TowerConfig(heads=SIZES["tiny"], text=None)
PUBLISHED = replace(TINY, position="convolution", published_layers=True, amplitude=False)
BOTH = pytest.mark.parametrize("config", [TINY, PUBLISHED], ids=["ours", "published"])


def tower(config: TowerConfig = TINY) -> EcgTower:
    torch.manual_seed(0)
    return EcgTower(config)


def see(tower: EcgTower, batch: Batch, view: EcgView = EcgView(), kept: Tensor | None = None) -> EcgFeatures:  # noqa: B008
    signal = read(batch)
    leads = seen_leads(view, signal, batch.record, 0)
    return tower(signal, leads, kept_patches(view, signal, batch.record, 0) if kept is None else kept, None)


def test_only_kept_patches_enter_the_transformer() -> None:
    batch, sizes = make(records=2, samples=5000, ragged=False), []
    encoder = tower()
    for block in encoder.blocks:
        block.register_forward_hook(lambda _, given, made: sizes.append(given[0].shape[1]))
    seen = see(encoder, batch, EcgView(leads=0.5, tokens=0.75))
    assert sizes == [79] * len(encoder.blocks)
    assert seen.dropped.sum(1).tolist() == [234, 234]
    assert see(encoder, batch).tokens.shape == (2, 313, TINY.width)


@BOTH
def test_padded_samples_and_missing_leads_change_no_bit(config: TowerConfig) -> None:
    encoder, batch = tower(config), make()
    view = EcgView(leads=0.5, tokens=0.5)
    one, other = (see(encoder, b, view) for b in (batch, fill_padding(batch, signal=-9_999, scale=7.0, words=3)))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b)


@BOTH
def test_a_record_is_the_same_alone_and_padded(config: TowerConfig) -> None:
    encoder, batch = tower(config), make()
    together = see(encoder, batch)
    for row in range(len(batch)):
        end = int(batch.length[row])
        alone = see(encoder, replace(batch[row : row + 1], signal=batch.signal[row : row + 1, :, :end]))
        count = alone.tokens.shape[1]
        torch.testing.assert_close(together.tokens[row, :count], alone.tokens[0], atol=1e-4, rtol=1e-4)
        assert together.mask[row].sum() == count


@BOTH
def test_a_hidden_lead_is_a_missing_one(config: TowerConfig) -> None:
    batch = make(ragged=False)
    signal, leads = read(batch), torch.rand(8, 12) < 0.5
    kept = kept_patches(EcgView(), signal, batch.record, 0)
    hidden = tower(config)(signal, leads, kept, None)
    missing = see(tower(config), replace(batch, leads=leads), kept=kept)
    assert torch.equal(hidden.tokens, missing.tokens)


def test_a_missing_lead_is_not_a_flat_one() -> None:
    batch = make(ragged=False)
    flat = replace(batch, signal=batch.signal.clone())
    flat.signal[:, 4] = 0
    gone = replace(batch, leads=batch.leads.clone())
    gone.leads[:, 4] = False
    assert not torch.allclose(see(tower(), flat).tokens, see(tower(), gone).tokens)


@pytest.mark.parametrize(("config", "leaks"), [(TINY, False), (PUBLISHED, True)], ids=["ours", "published"])
def test_what_was_dropped_reaches_what_was_kept_by_the_published_positions_only(
    config: TowerConfig, leaks: bool
) -> None:
    """Two dropped patches change places: every moment over time stays, so only the neighbours could tell."""
    batch = make(records=1, samples=640, ragged=False)
    other = replace(batch, signal=batch.signal.clone())
    other.signal[:, :, 160:176], other.signal[:, :, 480:496] = batch.signal[:, :, 480:496], batch.signal[:, :, 160:176]
    kept = torch.tensor([[place for place in range(40) if place not in (10, 30)]])
    one, two = (see(tower(config), b, kept=kept).tokens for b in (batch, other))
    assert torch.allclose(one, two, atol=1e-4) is not leaks


def test_time_matters() -> None:
    batch = make(records=1, samples=640, ragged=False)
    turned = replace(batch, signal=batch.signal.roll(320, dims=2))
    assert (see(tower(), batch).tokens[:, 0] - see(tower(), turned).tokens[:, 0]).abs().max() > 1e-3


@pytest.mark.parametrize(("config", "told"), [(TINY, True), (PUBLISHED, False)], ids=["ours", "published"])
def test_the_size_of_the_whole_recording_is_told(config: TowerConfig, told: bool) -> None:
    """Low voltage is a finding; the norm over time alone makes a recording and its half the same."""
    batch = make(ragged=False)
    half = replace(batch, scale=batch.scale / 2)
    assert torch.allclose(see(tower(config), batch).tokens, see(tower(config), half).tokens, atol=1e-3) is not told


def test_a_tower_of_one_lead() -> None:
    batch = make()
    one = replace(batch, **{name: getattr(batch, name)[:, 1:2] for name in ("signal", "scale", "offset", "leads")})
    assert see(tower(replace(TINY, leads=1)), one).tokens.isfinite().all()


def test_a_record_without_any_lead_is_finite() -> None:
    batch = make()
    assert see(tower(), replace(batch, leads=torch.zeros_like(batch.leads))).tokens.isfinite().all()
