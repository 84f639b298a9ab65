"""Vectors of all distinct reports by a language model, on Ray Data.

The distinct reports, in the order of their length, are cut into parts; a part is embedded by one actor in one thread
and written down. So a vector does not depend on how many actors there are, and a job that was killed goes on with the
parts that are missing. What travels is a part's number: the actors read the texts themselves.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data
import torch
from transformers import AutoConfig, AutoTokenizer

from ecgfm.data.carried import receiving, sending
from ecgfm.data.storage import Folder
from ecgfm.negatives.embed import Encoder, architecture
from ecgfm.negatives.stock import texts
from ecgfm.negatives.vectors import Embeddings, file_name, hash_of_texts


@dataclass(frozen=True)
class Work:
    """What an actor needs to embed a part."""

    folders: tuple[Folder, ...]  # of the corpora; the parts, and at the end the vectors, stand in the first
    encoder: str
    reports: int = 2048  # of a part
    stands: str = field(default_factory=os.getcwd)  # where a relative encoder is named from

    def parts(self, distinct: Sequence[str]) -> list[Sequence[str]]:
        return [distinct[start : start + self.reports] for start in range(0, len(distinct), self.reports)]


def embed(work: Work, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Embed what is not embedded yet, and write the vectors of all into the first folder."""
    home, said = work.folders[0], texts(work.folders)
    name, parts = file_name(work.encoder, said), work.parts(in_order(said))
    pending = [number for number in range(len(parts)) if not home.exists(part_name(name, number))]
    done = len(parts) - len(pending)
    progress(done, len(parts))
    for _ in _made(work, name, pending):
        done += 1
        progress(done, len(parts))
    _join(home, name, parts, said).write(home, name)
    home.remove(f"{name}.parts")


def check(encoder: str) -> None:
    """That there is such an encoder, before any actor is started for it."""
    try:
        AutoConfig.from_pretrained(encoder)
        AutoTokenizer.from_pretrained(encoder)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"no encoder {encoder}: it is no folder with a Hugging Face encoder and its tokenizer, and the hub has "
            'none of that name or cannot be reached from here; give a folder, or "words"'
        ) from error
    architecture(encoder)


def in_order(said: Sequence[str]) -> list[str]:
    """Each text once, those of like length together: little is then computed on padding."""
    return sorted(set(said), key=lambda text: (len(text), text))


def part_name(name: str, number: int) -> str:
    return f"{name}.parts/{number:06}.safetensors"


def _made(work: Work, name: str, pending: list[int]) -> Iterator[dict]:
    """Have parts made; a row for each, as they end."""
    if not pending:
        return
    gpus, cpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("GPU", "CPU"))
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # a carrier of it
    with ray.data.DataContext.current(context), receiving():
        numbers = ray.data.from_items([{"part": number} for number in pending], override_num_blocks=len(pending))
        actor: Any = _Part  # called with the arguments below, which the annotation does not know
        yield from numbers.map_batches(
            actor,
            fn_constructor_args=(work, name, "cuda" if gpus else "cpu"),
            batch_size=1,
            num_cpus=0 if gpus else 1,
            num_gpus=1 if gpus else 0,
            concurrency=(1, max(1, min(len(pending), gpus or cpus))),
        ).iter_rows()


class _Part:
    """The encoder, loaded once, and the texts."""

    def __init__(self, work: Work, name: str, device: str) -> None:
        if Path(work.stands).is_dir():
            os.chdir(work.stands)
        torch.set_num_threads(1)  # sums in another order would be other sums
        self.home, self.name = work.folders[0], name
        self.parts = work.parts(in_order(texts(work.folders)))
        self.encoder = Encoder(work.encoder, device)

    def __call__(self, numbers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for number in numbers["part"].tolist():
            part = self.parts[number]
            with sending():
                made = Embeddings.of(self.encoder(part), self.encoder.name, part)
                made.write(self.home, part_name(self.name, number))
        return numbers


def _join(home: Folder, name: str, parts: Sequence[Sequence[str]], said: Sequence[str]) -> Embeddings:
    """The parts as one, a row for each report."""
    made = [Embeddings.read(home, part_name(name, number), part) for number, part in enumerate(parts)]
    models = {part.model for part in made}
    if len(models) > 1:
        raise ValueError(
            f"the encoder's weights have changed since the job was begun ({', '.join(sorted(models))}): delete "
            f"{home}/{name}.parts and run it again"
        )
    place = {text: row for row, text in enumerate(text for part in parts for text in part)}
    vectors = np.concatenate([part.vectors for part in made])[[place[text] for text in said]]
    return Embeddings(vectors, made[0].model, hash_of_texts(said))
