"""Towers on disk, complete: they can be moved to another machine and read there without what they were trained from.

    towers.safetensors   the weights, by name
    towers.json          what they are: TowerConfig as built, frame, the pool that embeds, and hashes of the other files
    text/                the text model's config and tokenizer

The card, towers.json, is written last. It holds the hashes of the other files, so that damage is seen.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.torch import load as parse
from safetensors.torch import save as serialise
from torch import Tensor, nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from ecgfm.data.storage import Folder
from ecgfm.model.config import TowerConfig
from ecgfm.model.text import TextConfig
from ecgfm.model.towers import Towers
from ecgfm.run import Frame, describe, rebuild

FORMAT = "ecgfm-towers-2"
_CARD, _WEIGHTS, _TEXT = "towers.json", "towers.safetensors", "text"


@dataclass(frozen=True)
class Card:
    """What towers.json says of the towers beside it."""

    towers: TowerConfig
    frame: Frame
    pool: str  # the one that embeds
    aligned: bool  # whether a loss laid its vectors beside those of reports
    words: int  # of a longer report the rest is not read
    run: str  # the identity of the run that they are of
    step: int


@dataclass(frozen=True)
class Saved:
    """What `read` gives. No tokenizer where there is no text tower."""

    card: Card
    towers: Towers
    tokenizer: PreTrainedTokenizerBase | None


def write(folder: Folder, card: Card, towers: Towers) -> None:
    """Write towers over what the folder may hold of others."""
    files = {_WEIGHTS: serialise({name: tensor.contiguous() for name, tensor in weights(towers).items()})}
    if isinstance(card.towers.text, TextConfig):
        files |= {f"{_TEXT}/{name}": content for name, content in text_files(card.towers.text.name).items()}
    if folder.exists(_CARD):
        folder.delete(_CARD)
    for name, content in files.items():
        folder.write(name, content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    folder.write(_CARD, json.dumps({"format": FORMAT, "card": describe(card), "files": hashes}, indent=1).encode())


def text_files(name: str) -> dict[str, bytes]:
    """The config and the tokenizer of a text model, whether it is a folder or one of the hub."""
    with tempfile.TemporaryDirectory() as place:
        AutoConfig.from_pretrained(name).save_pretrained(place)
        AutoTokenizer.from_pretrained(name).save_pretrained(place)
        return {str(file.relative_to(place)): file.read_bytes() for file in Path(place).rglob("*") if file.is_file()}


def read(folder: Folder, trained: bool = True) -> Saved:
    """Towers as they were written, every byte compared with its hash, in eval mode.

    With `trained` False they are like these in all but their weights, which are drawn anew from torch's generator.
    """
    if not folder.exists(_CARD):
        remedy = f"ecgfm export {folder}" if folder.exists("run.json") else "give the folder of a run or of an export"
        raise FileNotFoundError(f"{folder} holds no {_CARD}: {remedy}")
    held = json.loads(folder.read(_CARD))
    if held.get("format") != FORMAT:
        raise ValueError(f"{folder} holds towers of the format {held.get('format')}; this version reads {FORMAT}")
    files = {name: _whole(folder, name, sha256) for name, sha256 in held["files"].items()}
    card: Card = rebuild(held["card"])
    tokenizer, text = None, card.towers.text
    with _unpacked(files) as place:
        if isinstance(text, TextConfig):
            text, tokenizer = replace(text, name=place), AutoTokenizer.from_pretrained(place)
        towers = Towers(replace(card.towers, text=text), pretrained=False)
    towers.config = card.towers  # it names the text model as it was found, not where it lay while it was read
    if trained:
        fill(towers, parse(files[_WEIGHTS]), str(folder))
    return Saved(card, towers.eval(), tokenizer)


def _whole(folder: Folder, name: str, sha256: str) -> bytes:
    if not folder.exists(name):
        raise FileNotFoundError(f"{folder} is not whole: {name} is missing")
    content = folder.read(name)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{folder} is damaged: {name} is not what was written (its sha256 differs)")
    return content


@contextmanager
def _unpacked(files: Mapping[str, bytes]) -> Iterator[str]:
    """A folder that transformers reads the text model's files from."""
    with tempfile.TemporaryDirectory() as place:
        for name, content in files.items():
            if name.startswith(f"{_TEXT}/"):
                file = Path(place, name.removeprefix(f"{_TEXT}/"))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        yield place


def weights(model: nn.Module) -> dict[str, Tensor]:
    """All that towers, or a model, are made of, by name; what two names share has one."""
    kept = model.state_dict().keys()
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in kept}
    return {name: parameter.detach() for name, parameter in model.named_parameters()} | buffers


def fill(model: nn.Module, given: Mapping[str, Tensor], origin: str) -> None:
    """Take over weights by name: all of them, and no others. `origin` says for an error where they come from."""
    own = weights(model)
    if odd := own.keys() ^ given.keys():
        raise ValueError(f"{origin} holds other towers: {min(odd)} is in {'these' if min(odd) in own else 'it'} alone")
    for name, tensor in own.items():
        if tensor.shape != given[name].shape:
            raise ValueError(f"{origin}: {name} has the shape {(*given[name].shape,)}, not {(*tensor.shape,)}")
        tensor.copy_(given[name])
