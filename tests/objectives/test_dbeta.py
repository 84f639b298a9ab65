"""D-BETA: each term against its definition, and each defect of the published code as a test that it would fail."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from batches import fill_padding, make, reorder, tiny
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from ecgfm.batch import Batch
from ecgfm.model.config import SIZES, TowerConfig
from ecgfm.model.encoded import Encoded
from ecgfm.model.text import TableConfig
from ecgfm.model.views import EcgView, TextView
from ecgfm.objectives import dbeta
from ecgfm.train.pretraining import Pretraining

ECG, READ = EcgView(leads=0.5, tokens=0.75), TextView(words=0.25, far=0.5)
SEED = 1


def build(text: str, config: dbeta.Config = dbeta.Config(), **towers) -> Pretraining:  # noqa: B008
    torch.manual_seed(0)
    return Pretraining(tiny(text, **towers), {"dbeta": config}).eval()


@pytest.fixture(scope="module")
def model(text_model: str) -> Pretraining:
    return build(text_model)


@pytest.fixture(scope="module")
def published(text_model: str) -> Pretraining:
    return build(
        text_model,
        dbeta.PAPER,
        over="first",
        position="convolution",
        published_layers=True,
        amplitude=False,
        dropout=0.1,
    )


def terms(model: Pretraining, batch: Batch, seed: int = SEED) -> dict[str, Tensor]:
    with torch.no_grad():
        return {name.removeprefix("dbeta/"): value for name, value in model(batch, seed)[1].items()}


def given(module: torch.nn.Module, run, *, inputs: bool = False) -> list:
    """What passes through a module while `run` runs."""
    passed = []
    hook = module.register_forward_hook(
        lambda _, args, kwargs, made: passed.append((args, kwargs) if inputs else made), with_kwargs=True
    )
    run()
    hook.remove()
    return passed


# The nine defects, in the order of their list: negatives, masked words, rows that shift, attention masks, targets,
# evaluation mode, padding, cost, seeds.


def test_1_the_negative_s_words_reach_the_encoder(text_model: str) -> None:
    model = build(text_model, dbeta.Config(terms={"etm": 1.0}))
    batch = make(records=40)
    (_, said), *_ = given(model.towers.text.model, lambda: terms(model, batch), inputs=True)
    swapped = Encoded(model.towers, batch, SEED).text(TextView(far=0.5)).swapped[:, None]
    count = torch.where(swapped[:, 0], batch.far_word_count, batch.word_count)
    assert 5 < swapped.sum() < 35
    assert torch.equal(said["input_ids"], torch.where(swapped, batch.far_words, batch.words).long())
    assert torch.equal(said["attention_mask"].sum(1).int(), count)


def test_1_the_label_cannot_be_told_from_the_length(model: Pretraining) -> None:
    """Own and far reports are equally long in the mean here: whatever tells them apart was put in by the model. That
    those of the method's own choice are alike in length too is held in tests/train/test_reports.py."""
    batch = make(records=2000, samples=16, words=8)
    with torch.no_grad():
        text = Encoded(model.towers, batch, SEED).text(READ)
        (_, said), *_ = given(
            model.towers.text.model, lambda: Encoded(model.towers, batch, SEED).text(TextView(far=0.5)), inputs=True
        )
    attended = text.mask.sum(1)
    assert abs(roc_auc_score(text.swapped, attended) - 0.5) < 0.05
    written = (said["input_ids"] != 0).sum(1)
    assert torch.equal(written, attended)  # published: the far report's mask over the own report's words


def test_2_masked_words_are_hidden_and_asked_for_alone(model: Pretraining) -> None:
    batch = make(records=40)
    hidden = Encoded(model.towers, batch, SEED).text(READ).masked
    head = model.objectives["dbeta"].words
    (((asked,), _),) = given(head, lambda: terms(model, batch), inputs=True)
    assert asked.shape[:2] == hidden.place.shape == (40, round(14 * 0.25))
    (_, said), *_ = given(model.towers.text.model, lambda: terms(model, batch), inputs=True)
    shown = said["input_ids"].gather(1, hidden.place)[hidden.used]
    blank = shown == model.towers.text.vocabulary.mask
    assert blank.float().mean().item() == pytest.approx(0.8, abs=0.12)
    assert (hidden.word[hidden.used] != model.towers.text.vocabulary.mask).all()


def test_2_a_hidden_word_cannot_be_copied(model: Pretraining) -> None:
    """Another word behind the same mask: the features are the same, bit for bit, and what is to be found is not."""
    batch = make(records=20)
    seen = Encoded(model.towers, batch, SEED)
    text = seen.text(READ)
    (_, said), *_ = given(model.towers.text.model, lambda: terms(model, batch), inputs=True)
    row = int((~text.swapped & (said["input_ids"] == 3).any(1)).nonzero()[0])
    place = int((said["input_ids"][row] == 3).nonzero()[0])
    words = batch.words.clone()
    words[row, place] = 4 if words[row, place] != 4 else 5
    other = replace(batch, words=words)
    assert torch.equal(text.tokens, Encoded(model.towers, other, SEED).text(READ).tokens)
    assert terms(model, batch)["mlm"] != terms(model, other)["mlm"]


def test_3_rows_without_a_report_do_not_shift_the_others(model: Pretraining) -> None:
    batch, there = make(records=16), torch.arange(16) % 3 != 0
    holes = {
        "report": batch.report.where(there, -1),
        "far_report": batch.far_report.where(there, -1),
        "word_count": batch.word_count.where(there, 0),
        "far_word_count": batch.far_word_count.where(there, 0),
    }
    some, rest = terms(model, replace(batch, **holes)), terms(model, reorder(batch, there.nonzero()[:, 0].tolist()))
    torch.testing.assert_close((some["mlm"], some["etm"]), (rest["mlm"], rest["etm"]), rtol=1e-4, atol=1e-5)


def test_4_more_padding_changes_no_loss(model: Pretraining, published: Pretraining) -> None:
    batch = make()
    wide = {name: functional.pad(getattr(batch, name), (0, 10)) for name in ("words", "far_words")}
    for each in (model, published):
        torch.testing.assert_close(terms(each, replace(batch, **wide)), terms(each, batch), rtol=1e-4, atol=1e-5)


def test_5_the_target_is_the_whole_signal(model: Pretraining) -> None:
    """The error in a naive rewriting, over every dropped patch of every recorded lead, hidden or not."""
    batch = make(records=6)
    (guess,) = given(model.objectives["dbeta"].decoder, lambda: terms(model, batch))
    seen = Encoded(model.towers, batch, SEED)
    ecg, text = seen.ecg(ECG), seen.text(READ)
    assert (batch.leads & ~ecg.leads).any()
    errors = []
    for row in (~text.swapped).nonzero()[:, 0].tolist():
        count = int(batch.length[row]) // 16
        for lead in batch.leads[row].nonzero()[:, 0].tolist():
            whole = (batch.signal[row, lead, : count * 16] * batch.scale[row, lead]).double()
            whole = (whole - whole.mean()) / (whole.var(correction=0) + 1e-6).sqrt()
            for place in set(range(count)) - set(ecg.kept[row].tolist()):
                made = guess[row, place, lead * 16 : lead * 16 + 16]
                errors.append((made - whole[place * 16 : place * 16 + 16]).square().mean().item())
    assert terms(model, batch)["mem"].item() == pytest.approx(np.mean(errors), rel=1e-4)


def test_6_an_embedding_is_the_same_in_any_mode(published: Pretraining) -> None:
    """Published: loaded models stay in training mode, and their features change from call to call."""
    batch = make()
    calm = Encoded(published.eval().towers, batch, 0).embed(EcgView())
    assert torch.equal(Encoded(published.train().towers, batch, 0).embed(EcgView()), calm)
    assert terms(published.train(), batch) != terms(published.eval(), batch)


def test_7_short_records_with_one_lead_train(model: Pretraining, published: Pretraining) -> None:
    batch = make()
    leads, length = torch.zeros_like(batch.leads), torch.full_like(batch.length, 100)
    leads[:, 1], length[0] = True, 400
    for each in (model, published):
        loss, _ = each(replace(batch, leads=leads, length=length), SEED)
        gradient = torch.autograd.grad(loss, list(each.towers.ecg.parameters()))
        assert all(part.isfinite().all() for part in gradient)


def test_8_few_passes_and_no_attention_map(model: Pretraining) -> None:
    """T5's bias is one for all records, its mask one for all heads."""
    batch, kept = make(records=2, samples=976), []
    seen = Encoded(model.towers, batch, SEED)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t.shape), t)[1], lambda t: t):
        model.objectives["dbeta"](seen)
    assert seen.passes == 3  # the report alone is read for ets
    tokens, words, patches = 16, 14, 61
    assert seen.ecg(ECG).tokens.shape[1] == tokens
    heads, drawn = SIZES["tiny"], (patches + 1, patches + 1)  # the decoder has half as many heads
    maps = {(tokens, tokens): heads, (tokens, words): heads, (words, tokens): heads, (words, words): heads}
    maps[drawn] = heads // 2
    assert not [
        shape
        for shape in kept
        if (of := maps.get(tuple(shape[-2:]))) and shape.numel() >= len(batch) * of * shape[-2:].numel()
    ]


def test_9_a_run_repeats(text_model: str, published: Pretraining) -> None:
    again = build(
        text_model,
        dbeta.PAPER,
        over="first",
        position="convolution",
        published_layers=True,
        amplitude=False,
        dropout=0.1,
    )
    batch = make()
    assert terms(published.train(), batch) == terms(again.train(), batch)
    assert terms(published, batch) != terms(published, batch, seed=2)


# What this method is, beyond those.


def test_words_and_signal_are_learnt_from_matched_rows_only(model: Pretraining) -> None:
    batch = make(records=16)
    text = Encoded(model.towers, batch, SEED).text(READ)
    matched = terms(model, reorder(batch, (~text.swapped).nonzero()[:, 0].tolist()))
    everything = terms(model, batch)
    for name in ("mlm", "mem"):
        torch.testing.assert_close(everything[name], matched[name], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        nobody = terms(build(model.towers.config.text.name, dbeta.Config(far=1.0)), batch)
    assert nobody["mlm"] == nobody["mem"] == 0


def test_matching_is_even_odds_between_equals(model: Pretraining) -> None:
    """etm is the cross-entropy of matched (1) against swapped (0) in every row."""
    batch = make(records=16)
    (logits,) = given(model.objectives["dbeta"].match, lambda: terms(model, batch))
    swapped = Encoded(model.towers, batch, SEED).text(READ).swapped
    chance = logits.double().softmax(1)
    expected = -torch.where(swapped, chance[:, 0], chance[:, 1]).log().mean()
    assert terms(model, batch)["etm"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("config", [dbeta.Config(), dbeta.PAPER], ids=["ours", "published"])
def test_alignment_in_float64(config: dbeta.Config, text_model: str) -> None:
    """Ours meets every record's own report, the published one what fusion reads."""
    model = build(text_model, config)
    batch = make(records=10)
    batch.report[3], batch.subject[6] = batch.report[2], batch.subject[5]
    seen = Encoded(model.towers, batch, SEED)
    read = READ if config.published_ets else TextView()
    text = seen.text(read)
    assert text.swapped.any() == config.published_ets
    x, y = (seen.embed(view).double() for view in (ECG, read))
    scale, bias = 1.0, 0.0
    if not config.published_ets:
        x, y, scale, bias = x / x.norm(dim=1)[:, None], y / y.norm(dim=1)[:, None], config.scale, config.bias
    total = 0.0
    for i in range(10):
        for j in range(10):
            same_report = batch.report[i] == text.report[j]
            same_subject = batch.subject[i] == batch.subject[j] and not text.swapped[j]
            pair = i == j and not text.swapped[j]
            if (same_report or same_subject) and not pair and not config.published_ets:
                continue
            logit = scale * (x[i] @ y[j]).item() + bias
            total += math.log1p(math.exp(-logit if pair else logit))
    assert terms(model, batch)["ets"].item() == pytest.approx(total / 10, rel=1e-4)


def test_padding_and_missing_leads_change_no_loss(model: Pretraining, published: Pretraining) -> None:
    batch = make()
    other = fill_padding(batch, signal=-4_321, scale=3.0, words=29)
    for each in (model, published):
        assert terms(each, batch) == terms(each, other)


def test_a_term_left_out_is_left_out_of_the_model(text_model: str) -> None:
    model = build(text_model, dbeta.Config(terms={"ets": 1.0}))
    assert [name for name, _ in model.objectives.named_parameters()] == ["dbeta.scale", "dbeta.bias"]
    assert terms(model, make()).keys() == {"ets"}
    for out in dbeta.TERMS:
        rest = build(text_model, dbeta.Config(terms=dict.fromkeys(set(dbeta.TERMS) - {out}, 1.0)))
        assert terms(rest, make()).keys() == set(dbeta.TERMS) - {out}


def test_a_term_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="mlm, mem, etm, ets"):
        dbeta.Config(terms={"mlm": 1.0, "its": 1.0})


def test_a_frozen_table_of_reports(tmp_path: Path) -> None:
    save_file({"vectors": torch.randn(100_000, 7)}, tmp_path / "table.safetensors")
    towers = TowerConfig(heads=SIZES["tiny"], text=TableConfig(str(tmp_path / "table.safetensors")))
    rest = Pretraining(towers, {"dbeta": dbeta.Config(terms=dict.fromkeys(("mem", "etm", "ets"), 1.0))})
    assert all(value.isfinite() for value in terms(rest, make()).values())
    with pytest.raises(ValueError, match="leave it out"):
        Pretraining(towers, {"dbeta": dbeta.Config()})


def test_it_learns(text_model: str) -> None:
    model, batch = build(text_model), make(records=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    before = terms(model, batch)
    for _ in range(40):
        loss, _ = model(batch, SEED)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = terms(model, batch)
    for name in dbeta.TERMS:
        assert after[name] < 0.8 * before[name]
