"""What a run reads: shards by their corpora, the words of their reports, and the false reports of methods that ask.

All of it follows from the recipe and from what lies on disk, and the hashes of the latter stand in run.json. Words are
numbered once and kept in the run's folder, in a file named after all that decides them.
"""

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int32, Int64
from torch import Tensor
from transformers import AutoTokenizer

from ecgfm.batch import Batch
from ecgfm.data import shards
from ecgfm.data.plan import Position
from ecgfm.data.reader import Reader, open_reader, read
from ecgfm.data.shards import Manifest
from ecgfm.data.storage import Folder
from ecgfm.data.tokens import TokenTable
from ecgfm.model.saved import text_files
from ecgfm.model.text import TableConfig, TextConfig, TextTable, TextTower
from ecgfm.negatives.stock import Ask, Stock, in_process, texts
from ecgfm.negatives.vectors import Embeddings, hash_of_texts
from ecgfm.run import Run
from ecgfm.train.claim import ORDER, SHARDS

_NOT_KINDS = {"text", "far", "visits"}  # any other column is a kind of channels beside the ECG
_AHEAD = 2  # batches for which false reports are asked before they are needed

Stream = Iterator[tuple[Batch, Position]]


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
    columns: frozenset[str]
    tokens: TokenTable | None
    stock: Stock | None
    ask: Ask | None
    threads: int = 1
    first: Int64[np.ndarray, " reports"] | None = None  # of each report, the first that has its text; none for none

    def open(self, split: str, stop: int, position: Position, rank: int = 0, workers: int = 1) -> "Dressed":
        """A worker's part of batches position.batch, ..., stop - 1, read in this process."""
        return self.dress(read(self.reader(split), stop, position, rank, workers, threads=self.threads))

    def reader(self, split: str) -> Reader:
        run = self.run
        return open_reader(
            self.folders,
            split,
            run.batch,
            run.frame,
            seed=run.seed,
            shares=(*run.corpora.values(),),
            visits="visits" in self.columns,
            kinds=(*sorted(self.columns - _NOT_KINDS),),
            slices=run.slices,
        )

    def dress(self, bare: Stream) -> "Dressed":
        """Batches from wherever they come, as the methods want them."""
        return Dressed(self, bare)

    def batches(self, split: str, most: int) -> int:
        """How many world batches a split fills; at least one, at most `most`."""
        records = sum(s.rows for uri in self.folders for s in _manifest(uri).shards if s.split == split)
        return max(1, min(most, records // self.run.batch))


class Dressed:
    """Batches with the words of their reports, where a text model reads them, and with false reports, where a method
    asks for them. These are asked for ahead; `waited` is how many seconds their answers were waited for after all."""

    def __init__(self, feed: Feed, bare: Stream) -> None:
        self.waited = 0.0
        self._feed, self._batches = feed, self._dressed(bare)

    def __iter__(self) -> "Dressed":
        return self

    def __next__(self) -> tuple[Batch, Position]:
        return next(self._batches)

    def _dressed(self, bare: Stream) -> Stream:
        ask = self._feed.ask
        if ask is None:
            yield from ((self._with_words(batch), after) for batch, after in bare)
            return
        asked: deque[tuple[Batch, Position, Callable[[], np.ndarray]]] = deque()
        for batch, after in bare:
            question = batch.report.numpy(), batch.record.numpy(), self._feed.run.seed, after.batch - 1
            asked.append((batch, after, ask(*question)))
            if len(asked) > _AHEAD:
                yield self._with_false(*asked.popleft())
        while asked:
            yield self._with_false(*asked.popleft())

    def _with_words(self, batch: Batch) -> Batch:
        words, counts = self._words(batch.report.numpy())
        return replace(batch, report=self._first(batch.report.numpy()), words=words, word_count=counts)

    def _with_false(self, batch: Batch, after: Position, answer: Callable[[], np.ndarray]) -> tuple[Batch, Position]:
        start, size = time.perf_counter(), len(batch)
        far = answer()
        self.waited += time.perf_counter() - start
        words, counts = self._words(np.concatenate([batch.report.numpy(), far]))  # of one width
        dressed = replace(
            batch,
            report=self._first(batch.report.numpy()),
            words=words[:size],
            word_count=counts[:size],
            far_report=self._first(far),
            far_words=words[size:],
            far_word_count=counts[size:],
        )
        return dressed, after

    def _first(self, reports: Int64[np.ndarray, " n"]) -> Int64[Tensor, " n"]:
        """Equal texts of two corpora are one report to whoever compares reports by number."""
        return torch.from_numpy(reports if self._feed.first is None else self._feed.first[reports])

    def _words(self, reports: Int64[np.ndarray, " n"]) -> tuple[Int32[Tensor, "n W"], Int32[Tensor, " n"]]:
        if not self._feed.tokens:
            return torch.zeros(len(reports), 0, dtype=torch.int32), torch.zeros(len(reports), dtype=torch.int32)
        words, counts = self._feed.tokens.lookup(reports)
        return torch.from_numpy(words), torch.from_numpy(counts)


def open_feed(
    run: Run,
    uris: Sequence[str],
    home: Folder,
    columns: frozenset[str],
    threads: int = 1,
    asker: Callable[[Stock], Ask] = in_process,
) -> Feed:
    """`columns` are what the methods ask for beside the signal; `home` is the run's folder; `asker` gives the answers
    about false reports: this process, or a service."""
    folders = [Folder(uri) for uri in uris]
    said = texts(folders) if "text" in columns else None
    tokens = _tokens(run, said, home) if said is not None else None
    stock = _stock(run, folders, home) if "far" in columns else None
    first = _first(said) if said is not None else None
    return Feed(run, tuple(uris), columns, tokens, stock, asker(stock) if stock else None, threads, first)


def inputs(folders: Mapping[str, str], feed: Feed, text_model: str | None) -> dict[str, str]:
    """The hashes of what is read: each corpus, the words, what false reports are chosen by, and the text model's
    weights as they are at the start; and whether visits stand side by side."""
    found = {f"{SHARDS}{name}": _manifest(uri).sha256 for name, uri in folders.items()}
    if "visits" in feed.columns:
        found[ORDER] = "two visits of a subject side by side"
    if feed.tokens:
        found["words"] = _hash(feed.tokens.words, feed.tokens.counts)
    if feed.stock:
        found["false reports"] = feed.stock.key
    if text_model:
        found["text model"] = text_model
    return found


def hash_of(text: TextTower | TextTable | None) -> str | None:
    """Of the weights that were read, so before an engine divides them; not of a pool that was drawn."""
    if text is None:
        return None
    weights = text.model.state_dict() if isinstance(text, TextTower) else {"table": text.table}
    return _hash(*(weights[name] for name in sorted(weights)))


def _hash(*arrays: np.ndarray | torch.Tensor) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _manifest(uri: str) -> Manifest:
    return shards.manifest(Folder(uri))


def _first(said: Sequence[str]) -> Int64[np.ndarray, " reports"]:
    """Of each report the first number of its text. The last entry is of none, -1."""
    numbers: dict[str, int] = {}
    return np.array([*(numbers.setdefault(text, number) for number, text in enumerate(said)), -1])


def _tokens(run: Run, said: Sequence[str], home: Folder) -> TokenTable | None:
    text = run.towers.text
    if isinstance(text, TableConfig) and Path(text.path).is_file():  # the tower says so where it is not
        folder, name = Folder(str(Path(text.path).parent)), Path(text.path).name
        Embeddings.read(folder, name, said)  # refused when it was made of other reports
    if not isinstance(text, TextConfig):
        return None
    model = {name: hashlib.sha256(content).hexdigest() for name, content in text_files(text.name).items()}
    decides = json.dumps([model, run.words, hash_of_texts(said)], sort_keys=True)
    file = f"tokens-{hashlib.sha256(decides.encode()).hexdigest()[:16]}.safetensors"
    if not home.exists(file):  # one of another recipe may be there, from a start that was refused or corrected
        tokenizer = AutoTokenizer.from_pretrained(text.name)
        TokenTable.build(said, lambda some: tokenizer(some, verbose=False)["input_ids"], run.words).write(home, file)
    return TokenTable.read(home, file)


def _stock(run: Run, folders: Sequence[Folder], home: Folder) -> Stock:
    if run.negatives is None:
        raise ValueError("a method asks for false reports, and the recipe's `negatives` does not say which to take")
    return Stock.open(run.negatives, folders, (*run.corpora.values(),), home)
