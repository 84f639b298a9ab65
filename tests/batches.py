"""Batches made up, and a text encoder small enough for any test: what tests of the model and of the methods share."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ecgfm import draw
from ecgfm.batch import Batch, Channels, record_id
from ecgfm.model import local_t5
from ecgfm.model.config import SIZES, TowerConfig
from ecgfm.model.pool import Project
from ecgfm.model.text import TextConfig

LEADS = 12
PHRASES = (
    *("sinus rhythm", "atrial fibrillation", "left bundle branch block", "first degree av block", "normal ecg"),
    *("inferior infarct, age undetermined", "st depression in lateral leads", "t wave changes", "low voltage"),
)


def reports(count: int, seed: int = 0) -> list[str]:
    random = draw.generator("reports", seed)
    return [". ".join(random.choice(PHRASES, random.integers(1, 5), replace=False)) for _ in range(count)]


def make_text(folder: Path) -> str:
    """A T5 of 128 channels with some 70 words, as a folder; the word numbers that `make` draws are below 50."""
    local_t5.make(reports(100), folder, heads=2)
    return str(folder)


def tiny(text: str, over: Literal["first", "mean"] = "mean", **changes) -> TowerConfig:
    return TowerConfig(heads=SIZES["tiny"], text=TextConfig(text, Project(over)), **changes)


def make(records: int = 8, samples: int = 400, words: int = 14, seed: int = 0, ragged: bool = True) -> Batch:
    """Random signals and words. `ragged`: lengths, leads and words differ; the first record is whole."""
    random = draw.generator("batch", seed)
    length = random.integers(samples // 2, samples + 1, records) if ragged else np.full(records, samples)
    leads = random.random((records, LEADS)) < (0.8 if ragged else 1)
    length[0], leads[0] = samples, True
    leads[:, 1] = True
    slow = random.normal(size=(records, LEADS, samples)).cumsum(-1) * 100
    report = random.choice(100_000, 2 * records, replace=False)
    own, far = (random.integers(2, words + 1, records) if ragged else np.full(records, words) for _ in range(2))
    return blank_padding(
        Batch(
            record=torch.tensor([record_id(0, seed, row) for row in range(records)]),
            subject=torch.from_numpy(random.choice(100_000, records, replace=False)),
            report=torch.from_numpy(report[:records]),
            signal=torch.from_numpy(slow.clip(-30_000, 30_000).astype(np.int16)),
            scale=torch.from_numpy(random.uniform(1e-3, 5e-3, (records, LEADS)).astype(np.float32)),
            offset=torch.from_numpy(random.normal(size=(records, LEADS)).astype(np.float32)),
            leads=torch.from_numpy(leads),
            length=torch.from_numpy(length.astype(np.int32)),
            words=_words(random, own, words),
            word_count=torch.from_numpy(own.astype(np.int32)),
            far_report=torch.from_numpy(report[records:]),
            far_words=_words(random, far, words),
            far_word_count=torch.from_numpy(far.astype(np.int32)),
        )
    )


def with_pulse(batch: Batch, samples: int = 200, seed: int = 0) -> Batch:
    """The same records with a pulse wave beside the ECG, of lengths that differ; every third record has none."""
    random, size = draw.generator("pulse", seed), len(batch)
    there = torch.from_numpy(np.arange(size) % 3 != 1)
    length = torch.from_numpy(random.integers(samples // 2, samples + 1, size).astype(np.int32)) * there
    signal = torch.from_numpy((random.normal(size=(size, 1, samples)).cumsum(-1) * 100).astype(np.int16))
    inside = there[:, None, None] & (torch.arange(samples) < length[:, None, None])
    ones = there[:, None].float()
    return replace(batch, others={"ppg": Channels(signal * inside, 1e-3 * ones, 0.1 * ones, there[:, None], length)})


def _words(random: np.random.Generator, count: np.ndarray, size: int) -> torch.Tensor:
    words = random.integers(4, 50, (len(count), size))
    words[np.arange(len(count)), count - 1] = 1  # the end
    return torch.from_numpy(words.astype(np.int32))


def blank_padding(batch: Batch) -> Batch:
    return fill_padding(batch, signal=0, scale=0.0, words=0)


def fill_padding(batch: Batch, signal: int, scale: float, words: int) -> Batch:
    """The same records with other content in everything that is padding."""
    changed = {name: getattr(batch, name).clone() for name in ("signal", "scale", "offset", "words", "far_words")}
    past = torch.arange(batch.signal.shape[2]) >= batch.length[:, None, None]
    changed["signal"][(past | ~batch.leads[:, :, None]).expand(batch.signal.shape)] = signal
    changed["scale"][~batch.leads] = changed["offset"][~batch.leads] = scale
    for name, count in (("words", batch.word_count), ("far_words", batch.far_word_count)):
        changed[name][torch.arange(batch.words.shape[1]) >= count[:, None]] = words
    others = {kind: _fill(channels, signal, scale) for kind, channels in batch.others.items()}
    return replace(batch, **changed, others=others)


def _fill(channels: Channels, signal: int, scale: float) -> Channels:
    past, away = torch.arange(channels.signal.shape[2]) >= channels.length[:, None, None], ~channels.leads
    sizes = {name: torch.where(away, scale, getattr(channels, name)) for name in ("scale", "offset")}
    return channels._replace(signal=torch.where(past | away[:, :, None], signal, channels.signal), **sizes)


def reorder(batch: Batch, rows: Iterable[int]) -> Batch:
    return batch[torch.tensor(list(rows))]
