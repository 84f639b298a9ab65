"""The text tower: any Hugging Face encoder by name or folder, or a table of embeddings that a frozen model made.

It is handed a Reading: which report, its words, and which of them are words at all. The attention mask is always
passed. Dropout follows the records' keys, never torch's generator, so the encoder itself stays in eval mode.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForTextEncoding, AutoTokenizer, PretrainedConfig
from transformers.utils import logging

from ecgfm import draw
from ecgfm.model import biased
from ecgfm.model.pool import Project
from ecgfm.model.transformer import dropout

logging.disable_progress_bar()  # loading takes seconds, and the terminal belongs to the training's own line

SENTINEL = "<extra_id_0>"  # T5 has no mask token, but learned this one in the place of what it had to fill in


@dataclass(frozen=True)
class TextConfig:
    """An encoder of words, trained with the rest."""

    name: str = "google/flan-t5-base"  # on the Hugging Face hub, or a folder
    pool: Project = field(default_factory=lambda: Project("peaks"))  # T5 has no token made to stand for the whole


@dataclass(frozen=True)
class TableConfig:
    """Embeddings of the distinct reports by report number, as negatives/vectors.py writes them; not trained."""

    path: str
    pool: Project = field(default_factory=Project)


class Vocabulary(NamedTuple):
    """What masking needs to know of a tokenizer."""

    size: int  # rows of the encoder's table of words
    mask: int
    pad: int
    special: tuple[int, ...]  # words that are never masked


class Reading(NamedTuple):
    """Reports as the tower sees them."""

    report: Int64[Tensor, "B"]  # -1 for none
    words: Int64[Tensor, "B W"]
    mask: Bool[Tensor, "B W"]  # a row without a report has one word of padding, since attention needs a place to look


class TextTower(nn.Module):
    """An encoder and its pool into vectors of `width`, `rate` its dropout.

    `pretrained` False leaves the weights random: for a checkpoint that is to fill them.
    """

    def __init__(self, config: TextConfig, width: int, rate: float, pretrained: bool):
        super().__init__()
        description = described(config.name)
        self.vocabulary = vocabulary(config.name, description.vocab_size)
        if pretrained:
            self.model = AutoModelForTextEncoding.from_pretrained(
                config.name, dtype=torch.float32, use_safetensors=True, attn_implementation=biased.NAME
            )
        else:
            self.model = AutoModelForTextEncoding.from_config(
                description, dtype=torch.float32, attn_implementation=biased.NAME
            )
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None  # BERT's own, which nothing here reads
        self.width: int = self.model.config.hidden_size
        self.pool = config.pool.build(self.width, width)
        self.dropouts = replace_dropouts(self.model, rate)
        fuse_gelus(self.model)
        self.train(self.training)

    def forward(
        self, reading: Reading, key: Int64[Tensor, "B"] | None
    ) -> tuple[Float[Tensor, "B W E"], Bool[Tensor, "B W"]]:
        for part in self.dropouts:
            part.key = key
        tokens = self.model(input_ids=reading.words, attention_mask=reading.mask).last_hidden_state
        return tokens, reading.mask

    def train(self, mode: bool = True) -> "TextTower":
        super().train(mode)
        self.model.eval()  # in training mode it would draw from torch's generator, inside attention too
        return self


class TextTable(nn.Module):
    table: Tensor
    vocabulary = Vocabulary(size=0, mask=0, pad=0, special=())

    def __init__(self, config: TableConfig, width: int):
        super().__init__()
        if not Path(config.path).is_file():
            raise FileNotFoundError(f"no table of report embeddings at {config.path}: embed the reports first")
        self.register_buffer("table", load_file(config.path)["vectors"], persistent=False)
        self.width: int = self.table.shape[1]
        self.pool = config.pool.build(self.width, width)

    def forward(
        self, reading: Reading, key: Int64[Tensor, "B"] | None
    ) -> tuple[Float[Tensor, "B 1 E"], Bool[Tensor, "B 1"]]:
        found = functional.embedding(reading.report.clamp(min=0), self.table).float()
        tokens = torch.where(reading.report[:, None] < 0, 0.0, found)[:, None]
        return tokens, torch.ones_like(tokens[:, :, 0], dtype=torch.bool)


def described(name: str) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{name!r} is no text model, neither a folder that holds one nor one of the hub that can be reached "
            f"({type(error).__name__}): --towers.text.name takes another, and `ecgfm text-model` makes a small one"
        ) from None


def vocabulary(name: str, size: int) -> Vocabulary:
    tokenizer = AutoTokenizer.from_pretrained(name)
    mask = tokenizer.mask_token_id if tokenizer.mask_token else tokenizer.get_vocab().get(SENTINEL)
    if mask is None or tokenizer.pad_token_id is None:
        raise ValueError(f"the tokenizer of {name} has no mask token, no {SENTINEL}, or no padding: choose an encoder")
    return Vocabulary(size, mask, tokenizer.pad_token_id, tuple(sorted(tokenizer.all_special_ids)))


class KeyedDropout(nn.Module):
    """In the place of torch's Dropout inside a model that cannot hand keys down; the tower sets them before a pass."""

    def __init__(self, rate: float, place: int):
        super().__init__()
        self.rate, self.place = rate, place
        self.key: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.rate, draw.fold(self.key, self.place))


def fuse_gelus(model: nn.Module) -> None:
    """T5's GELU is written out in seven passes over its widest layer; torch has the same in one."""
    from transformers.activations import NewGELUActivation  # two seconds, which whoever builds a T5 has spent already

    for name, part in [*model.named_modules()]:
        if isinstance(part, NewGELUActivation):
            model.set_submodule(name, nn.GELU(approximate="tanh"))


def replace_dropouts(model: nn.Module, rate: float) -> list[KeyedDropout]:
    dropouts = [name for name, part in model.named_modules() if isinstance(part, nn.Dropout)]
    replaced = [KeyedDropout(rate, place) for place in range(len(dropouts))]
    for name, part in zip(dropouts, replaced, strict=True):
        model.set_submodule(name, part)
    return replaced
