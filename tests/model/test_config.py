"""One dial: what follows from it, and how many parameters that makes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ecgfm.model.config import PAPER, SIZES, TowerConfig
from ecgfm.model.text import TextConfig
from ecgfm.objectives import dbeta
from ecgfm.train.pretraining import Pretraining

# The encoders of Flan-T5 as their publisher describes them.
FLAN_T5 = {
    "base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    "large": {"d_model": 1024, "d_ff": 2816, "num_layers": 24, "num_heads": 16},
}


@pytest.fixture
def flan(text_model: str, tmp_path: Path):
    """A folder that describes a Flan-T5, without its weights."""

    def describe(size: str) -> str:
        folder = tmp_path / size
        shutil.copytree(text_model, folder)
        (folder / "model.safetensors").unlink()
        known = {"model_type": "t5", "vocab_size": 32_128, "d_kv": 64, "feed_forward_proj": "gated-gelu"}
        (folder / "config.json").write_text(json.dumps(known | FLAN_T5[size]))
        return str(folder)

    return describe


def build(towers: TowerConfig, objective: dbeta.Config) -> Pretraining:
    with torch.device("meta"):
        return Pretraining(towers, {"dbeta": objective}, pretrained=False)


def millions(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def test_the_paper_s_model_has_the_paper_s_size(flan) -> None:
    model = build(replace(PAPER, text=replace(PAPER.text, name=flan("base"))), dbeta.PAPER)
    assert millions(model) == pytest.approx(321.39, rel=0.01)
    told = 12 * 768 / 1e6  # which leads are missing: the one part that the published modules do not have
    assert millions(model) == pytest.approx(321.387330 + told, abs=1e-6)
    assert millions(model.towers.ecg) == pytest.approx(62.02 + told, abs=0.01)
    assert millions(model.towers.text.model) == pytest.approx(109.63, abs=0.01)
    objective = model.objectives["dbeta"]
    assert millions(objective.words) == pytest.approx(25.30, abs=0.01)
    assert millions(objective.decoder) == pytest.approx(7.47, abs=0.01)


def test_the_paper_s_sizes_follow_from_the_dial() -> None:
    assert (PAPER.width, PAPER.depth, PAPER.channels) == (768, 8, 256)
    assert (PAPER.fusion_depth, PAPER.decoder_width, PAPER.decoder_depth) == (6, 384, 4)


@pytest.mark.parametrize("text", ["base", "large"])
def test_large_passes_a_billion(flan, text: str) -> None:
    assert millions(build(TowerConfig(heads=SIZES["large"], text=TextConfig(flan(text))), dbeta.Config())) > 1000


def test_the_dial_turns_every_size_up(flan) -> None:
    text = TextConfig(flan("base"))
    sizes = [millions(build(TowerConfig(heads=heads, text=text), dbeta.Config())) for heads in sorted(SIZES.values())]
    assert sizes == sorted(sizes)
    assert millions(build(TowerConfig(heads=SIZES["tiny"], text=text), dbeta.Config()).towers.ecg) < 0.5


@pytest.mark.parametrize("heads", [0, 1, 7])
def test_the_dial_takes_even_numbers(heads: int) -> None:
    with pytest.raises(ValueError, match="even"):
        TowerConfig(heads=heads)
