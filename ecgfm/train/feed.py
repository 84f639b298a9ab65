"""What a run reads: shards by their corpora, the words of their reports, and the false reports of methods that ask.

All of it follows from the recipe and from what lies on disk, and the hashes of the latter stand in run.json. Words and
report vectors are made once and kept in the run's folder.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Int32, Int64
from torch import Tensor
from transformers import AutoTokenizer

from ecgfm.batch import Batch
from ecgfm.data import reader, shards
from ecgfm.data.plan import Position
from ecgfm.data.shards import Manifest
from ecgfm.data.storage import Folder
from ecgfm.data.tokens import TokenTable
from ecgfm.model.text import TextConfig
from ecgfm.negatives.balance import balanced
from ecgfm.negatives.choose import choose
from ecgfm.negatives.embed import Embeddings, Encoder, lexical, neural
from ecgfm.negatives.index import FarIndex, FarLists
from ecgfm.negatives.measure import Choice
from ecgfm.run import Farthest, Run

_TOKENS, _VECTORS = "tokens.safetensors", "reports.safetensors"


def corpora(run: Run, uris: Sequence[str]) -> tuple[Run, dict[str, str]]:
    """The recipe with the shares of the corpora that are given, and the folder of each."""
    found = {shards.manifest(Folder(uri)).corpus: uri for uri in uris}
    if len(found) < len(uris):
        raise ValueError(f"{len(uris)} shard folders hold {len(found)} corpora ({', '.join(found)}): give each once")
    absent = run.corpora.keys() - found.keys()
    if absent:
        raise ValueError(f"the recipe reads {', '.join(sorted(absent))}, and no shard folder is of it: see --shards")
    return replace(run, corpora={name: run.corpora.get(name, 1) for name in found}), found


@dataclass(frozen=True)
class Feed:
    """Opens streams of batches with the columns that the run's methods need."""

    run: Run
    folders: tuple[str, ...]
    tokens: TokenTable | None
    choice: Choice | None
    threads: int = 1

    def open(
        self, split: str, stop: int, position: Position, rank: int = 0, workers: int = 1
    ) -> Iterator[tuple[Batch, Position]]:
        run = self.run
        opened = reader.open_reader(
            self.folders, split, run.batch, run.frame, seed=run.seed, shares=(*run.corpora.values(),), slices=run.slices
        )
        for batch, after in reader.read(opened, stop, position, rank, workers, threads=self.threads):
            yield self.worded(batch, after.batch - 1), after

    def batches(self, split: str, most: int) -> int:
        """How many world batches a split fills; at least one, at most `most`."""
        records = sum(s.rows for uri in self.folders for s in _manifest(uri).shards if s.split == split)
        return max(1, min(most, records // self.run.batch))

    def worded(self, batch: Batch, index: int) -> Batch:
        """With the words of the reports, where a text model reads them, and with false reports for methods that ask."""
        own, size = batch.report.numpy(), len(batch)
        if not self.choice:
            words, counts = self._words(own)
            return replace(batch, words=words, word_count=counts)
        far = self.choice(own, batch.record.numpy(), self.run.seed, index)
        words, counts = self._words(np.concatenate([own, far]))  # of one width
        return replace(
            batch,
            words=words[:size],
            word_count=counts[:size],
            far_report=torch.from_numpy(far),
            far_words=words[size:],
            far_word_count=counts[size:],
        )

    def _words(self, reports: Int64[np.ndarray, " n"]) -> tuple[Int32[Tensor, "n W"], Int32[Tensor, " n"]]:
        if not self.tokens:
            return torch.zeros(len(reports), 0, dtype=torch.int32), torch.zeros(len(reports), dtype=torch.int32)
        words, counts = self.tokens.lookup(reports)
        return torch.from_numpy(words), torch.from_numpy(counts)


def open_feed(run: Run, folders: Sequence[str], home: Folder, columns: frozenset[str], threads: int = 1) -> Feed:
    """`columns` are what the methods ask for beside the signal; `home` is the run's folder."""
    texts, use = _reports(folders)
    tokens = _tokens(run, texts, home) if "text" in columns else None
    choice = _choice(run, texts, use, home) if "far" in columns else None
    return Feed(run, tuple(folders), tokens, choice, threads)


def inputs(folders: Mapping[str, str], feed: Feed, model: torch.nn.Module | None) -> dict[str, str]:
    """The hashes of what is read: each corpus, the words, and the text model's weights as they are at the start."""
    found = {f"shards of {name}": _manifest(uri).sha256 for name, uri in folders.items()}
    if feed.tokens:
        found["words"] = _hash(feed.tokens.words, feed.tokens.counts)
    if model is not None:
        weights = dict(model.named_parameters()) | dict(model.named_buffers())
        found["text model"] = _hash(*(weights[name].detach().cpu() for name in sorted(weights)))
    return found


def _hash(*arrays: np.ndarray | torch.Tensor) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _manifest(uri: str) -> Manifest:
    return shards.manifest(Folder(uri))


def _reports(folders: Sequence[str]) -> tuple[list[str], Int64[np.ndarray, " report"]]:
    """The texts of all corpora one after another, and how often each is met in training."""
    tables = [shards.table(Folder(uri), "reports.parquet", ["text", "train"]) for uri in folders]
    texts = [text for table in tables for text in table["text"].to_pylist()]
    return texts, np.concatenate([table["train"].to_numpy() for table in tables]).astype(np.int64)


def _tokens(run: Run, texts: list[str], home: Folder) -> TokenTable | None:
    if not isinstance(run.towers.text, TextConfig):
        return None
    if not home.exists(_TOKENS):
        tokenizer = AutoTokenizer.from_pretrained(run.towers.text.name)
        table = TokenTable.build(texts, lambda some: tokenizer(some, verbose=False)["input_ids"], run.words)
        table.write(home, _TOKENS)
    return TokenTable.read(home, _TOKENS)


def _choice(run: Run, texts: list[str], use: Int64[np.ndarray, " report"], home: Folder) -> Choice:
    negatives = run.negatives
    if negatives is None:
        raise ValueError("a method asks for false reports, and the recipe's `negatives` does not say which to take")
    if not home.exists(_VECTORS):
        made = lexical(texts) if negatives.encoder == "words" else neural(texts, Encoder(negatives.encoder))
        made.write(home, _VECTORS)
    vectors = Embeddings.read(home, _VECTORS, texts).vectors
    if isinstance(negatives, Farthest):
        index = FarIndex(vectors, use, torch.get_num_threads())  # it sets the threads of the whole process
        return partial(choose, FarLists(index, negatives.count))
    return balanced(vectors, use, negatives.low, negatives.high).choose
