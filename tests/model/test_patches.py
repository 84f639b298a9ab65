"""From integers to patches: against torch's own convolution and norm, and against padding of any kind."""

from dataclasses import replace

import pytest
import torch
from batches import fill_padding, make
from torch import nn

from ecgfm.model.patches import PATCH, TYPICAL, PublishedStem, Signal, Stem, read


def test_millivolts_are_signal_times_scale_plus_offset_about_the_mean() -> None:
    batch = make()
    signal = read(batch)
    for row in range(len(batch)):
        end = batch.length[row] // PATCH * PATCH
        for lead in range(batch.signal.shape[1]):
            expected = batch.signal[row, lead].double() * batch.scale[row, lead] + batch.offset[row, lead]
            expected = (expected[:end] - expected[:end].mean()) * batch.leads[row, lead]
            torch.testing.assert_close(signal.millivolts[row, lead, :end].double(), expected, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(
                signal.deviation[row, lead].double(), expected.square().mean().sqrt(), atol=1e-4, rtol=1e-4
            )
            assert not signal.millivolts[row, lead, end:].any()


def test_patches_are_normalised_over_the_whole_lead_and_stand_lead_by_lead() -> None:
    batch = make(records=2, ragged=False)
    patches = read(batch).patches()
    assert patches.shape == (2, 400 // PATCH, 12 * PATCH)
    whole = patches.unflatten(2, (12, PATCH)).permute(0, 2, 1, 3).flatten(2)
    torch.testing.assert_close(whole.mean(2), torch.zeros(2, 12), atol=1e-4, rtol=0)
    torch.testing.assert_close(whole.square().mean(2), torch.ones(2, 12), atol=1e-3, rtol=0)
    torch.testing.assert_close(whole[1, 3], read(batch).millivolts[1, 3] / read(batch).deviation[1, 3])


def test_a_flat_lead_stays_flat() -> None:
    batch = make(records=2)
    flat = replace(batch, signal=torch.zeros_like(batch.signal))
    assert read(flat).patches().abs().max() < 1e-3  # and not the rounding errors of its mean, blown up


def published(stem: PublishedStem) -> nn.Sequential:
    """The same maps as the convolutions, norm and activations of torch."""
    layers: list[nn.Module] = []
    for place, layer in enumerate(stem.maps):
        conv = nn.Conv1d(layer.in_features // 2, layer.out_features, 2, stride=2, bias=False)
        conv.weight.data = layer.weight.data.unflatten(1, (2, -1)).transpose(1, 2)
        norm = nn.GroupNorm(layer.out_features, layer.out_features)
        layers += [conv, norm, nn.GELU()] if place == 0 else [conv, nn.GELU()]
    return nn.Sequential(*layers)


def test_the_published_stem_is_four_convolutions_with_one_group_norm() -> None:
    stem, x = PublishedStem(12, 64), torch.randn(2, 12, 320)
    torch.testing.assert_close(
        stem(x, torch.tensor([20, 20])), published(stem)(x).transpose(1, 2), atol=1e-5, rtol=1e-4
    )


def test_patches_go_back_to_millivolts() -> None:
    signal = read(make(records=4))
    torch.testing.assert_close(signal.restore(signal.patches()), signal.millivolts)


def test_the_stem_is_four_convolutions_each_with_a_group_norm() -> None:
    stem, x = Stem(12, 64), torch.randn(2, 12, 320)
    layers: list[nn.Module] = []
    for conv in stem.layers:
        layers += [conv, nn.GroupNorm(conv.out_channels // 16, conv.out_channels), nn.GELU()]
    expected = nn.Sequential(*layers)(x / TYPICAL).transpose(1, 2)
    torch.testing.assert_close(stem(x, torch.ones(2, 20, dtype=torch.bool)), expected, atol=1e-5, rtol=1e-4)


def published_on(stem: PublishedStem, signal: Signal) -> torch.Tensor:
    return stem(signal.millivolts, signal.counts)


def ours_on(stem: Stem, signal: Signal) -> torch.Tensor:
    return stem(signal.millivolts, signal.valid())


BOTH = pytest.mark.parametrize(("kind", "on"), [(Stem, ours_on), (PublishedStem, published_on)])


@BOTH
def test_ten_seconds_are_312_patches(kind, on) -> None:
    signal = read(make(records=1, samples=5000, ragged=False))
    assert on(kind(12, 64), signal).shape == (1, 312, 64)


def test_what_is_dropped_reaches_no_patch_that_is_kept() -> None:
    """Neither through the overlap of convolutions nor through the moments of a norm."""
    stem, x = Stem(12, 64), torch.randn(2, 12, 320)
    kept = torch.arange(20) % 3 > 0
    hidden, seen = (~kept).repeat_interleave(PATCH), kept.expand(2, -1)
    one, other = (stem(x.masked_fill(hidden, fill), seen) for fill in (0.0, 9.0))
    assert torch.equal(one, other)
    assert not one[:, ~kept].any()
    assert not torch.equal(one[:, kept], stem(x, torch.ones_like(seen))[:, kept])


@BOTH
def test_padding_of_any_length_changes_nothing(kind, on) -> None:
    """A norm over time that counted the padding would move every valid patch."""
    stem, batch = kind(12, 64), make()
    signal = read(batch)
    together = on(stem, signal)
    for row in range(len(batch)):
        end = int(batch.length[row])
        alone = read(replace(batch[row : row + 1], signal=batch.signal[row : row + 1, :, :end]))
        expected = on(stem, alone)
        torch.testing.assert_close(together[row, : end // PATCH], expected[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e6, float("nan")])
def test_what_padding_and_missing_leads_hold_is_never_read(scale: float) -> None:
    batch = make()
    other = fill_padding(batch, signal=12_345, scale=scale, words=7)
    assert not torch.equal(batch.signal, other.signal)
    for one, two in zip(_all(read(batch)), _all(read(other)), strict=True):
        assert torch.equal(one, two)


def _all(signal: Signal) -> tuple[torch.Tensor, ...]:
    return (*signal, signal.patches())
