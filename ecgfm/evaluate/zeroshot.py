"""Labels found without having seen one: is a recording liker to words for the label, or to words for a normal one?

    score = cosine(recording, mean of the label's wordings) - cosine(recording, mean of the normal wordings)

A label that a normal recording has as well, such as NORM or sinus rhythm, says nearly what the normal wordings say, and
of that difference nothing would be left. What it is held against is the mean of the other labels' wordings.

Measured by tools/measure_prompts.py on 907 held-out synthetic recordings, with the towers of a short run of `dbeta`
(1,200 steps of 32 records, 128 channels), as the mean AUC over 26 findings: one wording 0.585, the mean of three 0.599,
less a normal report 0.621; each within a whole report ("sinus rhythm. ... abnormal ecg"), less a normal one, 0.605.
Vectors as they are gave 0.600 where cosines gave 0.599.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from ecgfm.embedder import Embedder
from ecgfm.evaluate.tasks import Task
from ecgfm.model.text import TextTower

_NORMAL, _USUAL = "", "usual"


class Prompts(NamedTuple):
    wordings: Mapping[str, Sequence[str]]  # by label; "" -> those of a normal recording
    usual: Sequence[str] = ()  # labels that a normal recording has


def prompts(task: Task) -> Prompts:
    """Those of the table of labels, else those of the corpus; empty where nobody has written any (prompts.toml)."""
    tables = tomllib.loads(Path(__file__).with_name("prompts.toml").read_text())
    found = next((name for name in (task.set, task.manifest.corpus) if name in tables), "")
    return Prompts(tables.get(found, {}), tables[_USUAL].get(found, ()))


def reads(embedder: Embedder) -> bool:
    """Whether words can be given to these towers, and lie where the vectors of recordings do."""
    return embedder.card.aligned and isinstance(embedder.towers.text, TextTower)


def scores(
    embedder: Embedder, vectors: Float32[np.ndarray, "n d"], names: Sequence[str], written: Prompts
) -> Float32[np.ndarray, "n k"]:
    """A column per label; nan where a label has no prompt."""
    meant = {label: _meaning(embedder, texts) for label, texts in written.wordings.items()}
    findings = [meant[label] for label in meant if label != _NORMAL and label not in written.usual]
    unit, result = _unit(vectors), np.full((len(vectors), len(names)), np.nan, np.float32)
    for column, name in enumerate(names):
        if name in meant:
            opposite = np.mean(findings, axis=0) if name in written.usual else meant[_NORMAL]
            result[:, column] = unit @ (meant[name] - opposite)
    return result


def _meaning(embedder: Embedder, texts: Sequence[str]) -> Float32[np.ndarray, "d"]:
    """Of several wordings: the mean of their directions, as a direction."""
    return _unit(_unit(embedder.embed_reports(texts).float().cpu().numpy()).mean(0, keepdims=True))[0]


def _unit(vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
