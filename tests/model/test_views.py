"""What views hide: fixed numbers, functions of (seed, record) alone."""

from dataclasses import replace

import pytest
import torch
from batches import make, reorder
from torch.nn import functional

from ecgfm.batch import Batch
from ecgfm.data.record import LEADS
from ecgfm.model.patches import read
from ecgfm.model.text import Reading, Vocabulary
from ecgfm.model.views import EcgView, Masked, TextView, kept_patches, mask_words, read_reports, seen_leads

SEED = 5
VOCABULARY = Vocabulary(size=1000, mask=3, pad=0, special=(0, 1, 2, 3))


def leads(view: EcgView, batch: Batch, seed: int = SEED) -> torch.Tensor:
    return seen_leads(view, read(batch), batch.record, seed)


def kept(view: EcgView, batch: Batch, seed: int = SEED) -> torch.Tensor:
    return kept_patches(view, read(batch), batch.record, seed)


def masked(view: TextView, batch: Batch, seed: int = SEED) -> tuple[Reading, Masked, Reading]:
    whole, _ = read_reports(view, batch, seed, VOCABULARY.pad)
    return *mask_words(view, whole, batch.record, seed, VOCABULARY), whole


def test_views_are_values() -> None:
    assert {EcgView(leads=0.5): 1}[EcgView(leads=0.5)] == 1
    assert EcgView(draw=1) != EcgView()
    assert TextView(words=0.25) != TextView(far=0.25)


def test_half_of_the_leads_are_hidden_and_one_always_stays() -> None:
    batch = make(records=600, samples=32)
    seen = leads(EcgView(leads=0.5), batch)
    assert not (seen & ~batch.leads).any()
    assert seen.any(1).all()
    assert (seen.sum() / batch.leads.sum()).item() == pytest.approx(0.5, abs=0.03)
    assert (leads(EcgView(leads=1.0), batch).sum(1) == 1).all()
    assert torch.equal(leads(EcgView(), batch), batch.leads)


def test_a_group_of_leads_alone() -> None:
    batch = make(records=50)
    limb = LEADS[:6]
    seen = leads(EcgView(groups=limb), batch)
    assert not seen[:, 6:].any()
    assert torch.equal(seen[:, :6], batch.leads[:, :6])
    none_there = leads(EcgView(groups=("V3",), leads=0.5), batch)
    assert torch.equal(none_there[:, 8], batch.leads[:, 8])
    assert none_there.sum() == batch.leads[:, 8].sum()


def test_the_paper_keeps_78_of_312_patches() -> None:
    chosen = kept(EcgView(tokens=0.75), make(records=3, samples=5000, ragged=False))
    assert chosen.shape == (3, 78)
    assert (chosen.diff(dim=1) > 0).all()
    assert chosen.max() < 312


def test_short_records_keep_their_share_of_their_own_patches() -> None:
    batch = make(records=50)
    chosen, size = kept(EcgView(tokens=0.75), batch), 400 // 16
    for row, length in zip(chosen, batch.length // 16, strict=True):
        real = row[row < size]
        assert len(real) == max(1, int(length * 0.25))
        assert len(set(real.tolist())) == len(real)
        assert (real < length).all()
    everything = kept(EcgView(), batch)
    assert ((everything < size).sum(1) == batch.length // 16).all()


def test_every_patch_is_kept_equally_often() -> None:
    batch = make(records=2000, samples=160, ragged=False)
    counts = torch.bincount(kept(EcgView(tokens=0.7), batch).flatten(), minlength=10)
    assert counts.min() > 500
    assert counts.max() < 700


def test_draws_follow_the_record_alone() -> None:
    """Not the other rows, nor their order, nor how far the batch is padded; but the seed and the draw."""
    batch, view, text = make(records=20), EcgView(leads=0.5, tokens=0.5), TextView(words=0.25, far=0.5)
    part, turned = batch[6:9], reorder(batch, range(19, -1, -1))
    assert torch.equal(leads(view, batch)[6:9], leads(view, part))
    assert torch.equal(kept(view, batch)[6:9], kept(view, part))
    assert torch.equal(kept(view, batch).flip(0), kept(view, turned))
    assert torch.equal(masked(text, batch)[0].words[6:9], masked(text, part)[0].words)
    padded = replace(batch, signal=functional.pad(batch.signal, (0, 160)))
    assert torch.equal(kept(view, batch)[1:] % 25, kept(view, padded)[1:, :12] % 35 % 25)  # the sentinel is N
    for other in (kept(view, batch, seed=6), kept(EcgView(leads=0.5, tokens=0.5, draw=1), batch)):
        assert not torch.equal(kept(view, batch), other)


def test_a_quarter_of_the_words_is_masked_and_never_a_special_one() -> None:
    batch = make(records=200, words=40)
    seen, hidden, whole = masked(TextView(words=0.25), batch)
    words = batch.word_count - 1  # all but the end
    assert hidden.place.shape == (200, 10)
    assert torch.equal(hidden.used.sum(1), (words * 0.25 + 0.5).floor().clamp(min=1).minimum(words).long())
    assert torch.equal(hidden.word, whole.words.gather(1, hidden.place))
    assert (hidden.word[hidden.used] > 3).all()
    places = torch.zeros_like(whole.mask).scatter(1, hidden.place, hidden.used)
    assert torch.equal(seen.words[~places], whole.words[~places])
    assert places.sum() == hidden.used.sum()


def test_masked_words_are_mask_or_any_word_or_themselves() -> None:
    batch = make(records=2000, words=40, ragged=False)
    seen, hidden, _ = masked(TextView(words=0.25), batch)
    became = seen.words.gather(1, hidden.place)
    share_mask = (became == VOCABULARY.mask).float().mean().item()
    share_same = (became == hidden.word).float().mean().item()
    assert share_mask == pytest.approx(0.8, abs=0.01)
    assert share_same == pytest.approx(0.1, abs=0.01)


def test_swapped_rows_hold_the_far_report_whole() -> None:
    batch = make(records=300)
    reading, swapped = read_reports(TextView(far=0.5), batch, SEED, pad=0)
    assert swapped.float().mean().item() == pytest.approx(0.5, abs=0.1)
    for name, own, far in (
        ("report", batch.report, batch.far_report),
        ("words", batch.words.long(), batch.far_words.long()),
    ):
        got = getattr(reading, name)
        assert torch.equal(got[swapped], far[swapped])
        assert torch.equal(got[~swapped], own[~swapped])
    count = torch.where(swapped, batch.far_word_count, batch.word_count)
    assert torch.equal(reading.mask.sum(1).int(), count)


def test_a_row_without_a_far_report_keeps_its_own() -> None:
    batch = make(records=50)
    batch = replace(batch, far_report=torch.full_like(batch.far_report, -1))
    reading, swapped = read_reports(TextView(far=1.0), batch, SEED, pad=0)
    assert not swapped.any()
    assert torch.equal(reading.report, batch.report)


def test_a_batch_without_far_reports_says_so() -> None:
    batch = replace(make(), far_report=None, far_words=None, far_word_count=None)
    assert read_reports(TextView(), batch, SEED, pad=0)[0].mask.any()
    with pytest.raises(ValueError, match="far reports"):
        read_reports(TextView(far=0.5), batch, SEED, pad=0)


def test_a_row_without_a_report_has_one_word_of_padding() -> None:
    batch = make()
    none = replace(batch, report=torch.full_like(batch.report, -1), word_count=torch.zeros_like(batch.word_count))
    reading, _ = read_reports(TextView(), none, SEED, pad=0)
    assert reading.mask.sum(1).tolist() == [1] * 8
    assert not reading.words.any()
    _, hidden = mask_words(TextView(words=0.25), reading, none.record, SEED, VOCABULARY)
    assert not hidden.used.any()
