"""MERIT: each term against its definition, and the bound that is a figure."""

import math
from dataclasses import replace

import pytest
import torch
from batches import fill_padding, make, tiny
from torch import Tensor
from torch.nn import functional

from ecgfm.batch import Batch
from ecgfm.model.encoded import Encoded
from ecgfm.model.pool import Project
from ecgfm.model.views import EcgView, TextView
from ecgfm.objectives.merit import POOL, Config
from ecgfm.run import Optimizer
from ecgfm.train.engine import TorchEngine
from ecgfm.train.pretraining import Pretraining

SEED = 1


def build(text: str, config: Config = Config()) -> Pretraining:  # noqa: B008
    torch.manual_seed(0)
    return Pretraining(tiny(text), {"merit": config}).eval()


@pytest.fixture(scope="module")
def model(text_model: str) -> Pretraining:
    return build(text_model)


def terms(model: Pretraining, batch: Batch, seed: int = SEED) -> dict[str, Tensor]:
    with torch.no_grad():
        return {name.removeprefix("merit/"): value for name, value in model(batch, seed)[1].items()}


def vectors(model: Pretraining, batch: Batch) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        seen = Encoded(model.towers, batch, SEED)
        ecg, report = (functional.normalize(seen.embed(view, POOL), dim=-1) for view in (EcgView(), TextView()))
        return ecg, report


def test_contrast_is_clip_s_where_all_are_distinct(model: Pretraining) -> None:
    batch = make(6)
    ecg, report = vectors(model, batch)
    logits, own = ecg @ report.T / 0.07, torch.arange(6)
    expected = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    made = terms(model, batch)
    assert made["contrast"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert made["bound"].item() == pytest.approx(math.log(6) - expected.item(), abs=1e-5)


def test_sigmoid_is_siglip_s(text_model: str) -> None:
    model, batch = build(text_model, Config(loss="sigmoid", scale=10.0, bias=-3.0)), make(6)
    ecg, report = vectors(model, batch)
    z = 2 * torch.eye(6) - 1
    expected = -functional.logsigmoid(z * (10 * ecg @ report.T - 3)).sum() / 6
    assert terms(model, batch)["contrast"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_false_negatives_are_spared_by_the_loss_and_counted_by_the_bound(model: Pretraining) -> None:
    batch = make(4)
    twins = replace(batch, report=batch.report[torch.tensor([0, 0, 2, 3])], subject=batch.subject[[0, 1, 2, 2]])
    before, after = terms(model, batch), terms(model, twins)
    assert after["contrast"] < before["contrast"]
    assert after["bound"] == before["bound"]


def test_records_without_a_report_have_mem_alone(model: Pretraining) -> None:
    batch = make(5)
    none = replace(batch, report=torch.full((5,), -1), word_count=torch.zeros(5, dtype=torch.int32))
    made = terms(model, none)
    assert made["contrast"] == made["bound"] == 0
    assert made["mem"] == terms(model, batch)["mem"]


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_padding_and_missing_leads_change_nothing(text_model: str, loss: str) -> None:
    model, batch = build(text_model, Config(loss=loss)), make(6)
    other = fill_padding(batch, signal=12_345, scale=9.0, words=40)
    assert not torch.equal(batch.signal, other.signal)
    assert terms(model, batch) == terms(model, other)
    assert torch.equal(vectors(model, batch)[0], vectors(model, other)[0])


def test_mem_never_sees_the_dropped_patches(model: Pretraining) -> None:
    ecg = Encoded(model.towers, make(6, ragged=False), SEED).ecg(Config().masked)
    assert ecg.dropped.sum(1).tolist() == [25 - 6] * 6
    assert ecg.kept.shape == (6, 6)


def test_one_view_is_one_pass(model: Pretraining, text_model: str) -> None:
    masked = EcgView(tokens=0.75)
    shared = build(text_model, Config(aligned=masked))
    for built, passes in ((model, 3), (shared, 2)):
        seen = Encoded(built.towers, make(4), SEED)
        built.objectives["merit"](seen)
        assert seen.passes == passes


def test_the_pool_may_be_another(text_model: str) -> None:
    peaks, mean = build(text_model), build(text_model, Config(pool=Project("mean")))
    assert peaks.towers.pools["merit"].map.in_features == 2 * mean.towers.pools["merit"].map.in_features
    assert terms(mean, make(4))["contrast"] != terms(peaks, make(4))["contrast"]


def test_mem_alone_reads_no_reports(text_model: str) -> None:
    config = Config(terms={"mem": 1.0})
    model = build(text_model, config)
    assert config.columns == ()
    assert model.towers.text is None
    assert terms(model, make(4)).keys() == {"mem"}


def test_contrast_alone_has_no_decoder(text_model: str) -> None:
    model = build(text_model, Config(terms={"contrast": 1.0}))
    assert model.objectives["merit"].decoder is None


def train(text: str, config: Config, shuffled: bool, steps: int = 40) -> list[dict[str, float]]:
    """On 16 records, with their own reports or, each step, with others'."""
    torch.manual_seed(0)
    model = Pretraining(tiny(text), {"merit": config})
    engine = TorchEngine(model, model.groups(), Optimizer(rates=dict.fromkeys(("ecg", "text", "heads"), 1e-3)))
    batch, figures = make(16, samples=160), []
    for step in range(steps):
        order = torch.randperm(16) if shuffled else torch.arange(16)
        mixed = replace(batch, words=batch.words[order], word_count=batch.word_count[order])
        figures.append(engine.step(*engine(mixed, step), factor=1.0))
    return figures


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_the_bound_rises_to_the_log_of_the_candidates_and_no_further(text_model: str, loss: str) -> None:
    figures = train(text_model, Config(loss=loss, bias=-math.log(15)), shuffled=False)
    bounds = [figure["merit/bound"] for figure in figures]
    assert bounds[0] < 0.5
    assert bounds[-1] > 2.0
    assert max(bounds) <= math.log(16) + 1e-6


def test_reports_of_others_tell_nothing(text_model: str) -> None:
    figures = train(text_model, Config(), shuffled=True)
    assert all(figure["merit/bound"] < 0.6 for figure in figures)
    assert sum(figure["merit/bound"] for figure in figures[-10:]) / 10 < 0.1


def test_the_scale_is_learnt_up_to_clip_s_limit(text_model: str) -> None:
    model, batch = build(text_model, Config(scale=1000.0)), make(6)
    assert terms(model, batch) == terms(build(text_model, Config(scale=100.0)), batch)
    model(batch, SEED)[0].backward()
    assert model.objectives["merit"].scale.grad.any()  # it may come down again


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "needs mem or contrast"),
        ({"mem": 1.0, "etm": 1.0}, "MERIT has mem, contrast, bound"),
        ({"mem": 1.0, "bound": 0.0}, "figure of the contrast"),
        ({"contrast": 1.0, "bound": 1.0}, "at weight 0"),
    ],
)
def test_terms_that_cannot_be_are_refused(given: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Config(terms=given)


def test_a_contrast_needs_a_text_encoder(text_model: str) -> None:
    with pytest.raises(ValueError, match="text encoder"):
        Pretraining(replace(tiny(text_model), text=None), {"merit": Config()})
