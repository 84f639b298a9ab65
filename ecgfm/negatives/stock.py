"""The stock of reports that false ones are taken from: all of a run's corpora, one table after another, as vectors."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow.compute as pc
import torch
from jaxtyping import Float64

from ecgfm.data import shards
from ecgfm.data.storage import Folder
from ecgfm.negatives.balance import balanced
from ecgfm.negatives.choose import Choice, choose
from ecgfm.negatives.index import FarIndex, FarLists
from ecgfm.negatives.vectors import Embeddings, file_name
from ecgfm.run import Band, Farthest, describe

log = logging.getLogger(__name__)

# reports, records, seed, step -> what waits for the answer: asked of a service, it is worked out in the meantime
Ask = Callable[[np.ndarray, np.ndarray, int, int], Callable[[], np.ndarray]]


@dataclass(frozen=True)
class Stock:
    """A small value, from which whoever it travels to can rebuild the choice."""

    how: Farthest | Band
    folders: tuple[Folder, ...]  # of the corpora's shards, in the run's order
    shares: tuple[int, ...]  # how many records come from each
    vectors: Folder  # where the vectors are
    key: str  # hash of all that an answer depends on

    @staticmethod
    def open(how: Farthest | Band, folders: Sequence[Folder], shares: Sequence[int], home: Folder) -> "Stock":
        """With the vectors that jobs/negatives.py wrote beside the shards; vectors by words are made in `home`, the
        run's folder, where they are not there."""
        check_reports(folders)
        said = texts(folders)
        name = file_name(how.encoder, said)
        found = [folder for folder in (*folders, home) if folder.exists(name)]
        if not found and how.encoder != "words":
            raise FileNotFoundError(
                f"no vectors of these reports by {how.encoder} beside the shards; make them once: python "
                f"jobs/negatives.py --shards {' '.join(map(str, folders))} --encoder {how.encoder}"
            )
        if not found:
            from ecgfm.negatives.embed import lexical  # scikit-learn and transformers, which nobody else here needs

            lexical(said).write(home, name)
        where = (*found, home)[0]
        key = _key(how, Embeddings.read(where, name, said), use(folders, shares))
        return Stock(how, tuple(folders), tuple(shares), where, key)

    def choice(self, threads: int = 1, gpu: bool = False) -> Choice:
        said, met = texts(self.folders), use(self.folders, self.shares)
        embeddings = Embeddings.read(self.vectors, file_name(self.how.encoder, said), said)
        if _key(self.how, embeddings, met) != self.key:
            raise ValueError(f"the report vectors in {self.vectors} have changed since the run was started; start anew")
        if isinstance(self.how, Band):
            return balanced(embeddings.vectors, met, self.how.low, self.how.high).choose
        index = FarIndex(embeddings.vectors, met, threads, gpu)
        if index.longest < self.how.count:
            log.info("%d far reports of each are taken, not %d: there are no more", index.longest, self.how.count)
        return partial(choose, FarLists(index, min(self.how.count, index.longest)))


def in_process(stock: Stock) -> Ask:
    """Answers are worked out where they are needed."""
    choice = stock.choice(torch.get_num_threads())
    return lambda *question: partial(choice, *question)


def texts(folders: Sequence[Folder]) -> list[str]:
    """The reports of all corpora in the numbering of a run: one table after another."""
    return [
        text for folder in folders for text in shards.table(folder, "reports.parquet", ["text"])["text"].to_pylist()
    ]


def check_reports(folders: Sequence[Folder]) -> None:
    """That training meets reports to choose among."""
    tables = [shards.table(folder, "reports.parquet", ["text", "train"]) for folder in folders]
    met = {text for table in tables for text in table.filter(pc.field("train") > 0)["text"].to_pylist()}
    if len(met) < 2:
        raise ValueError(
            f"training meets {len(met)} different reports in {', '.join(map(str, folders))}, and false ones are chosen "
            "among two or more: give other shards, or methods that ask for none (merit, fingerprint, crossl, dense)"
        )


def use(folders: Sequence[Folder], shares: Sequence[int]) -> Float64[np.ndarray, " report"]:
    """How often training meets each report, as multiples of a training record of the first corpus: of a corpus, as many
    records are read as its share says, whatever its size."""
    counts = [shards.table(folder, "reports.parquet", ["train"])["train"].to_numpy() for folder in folders]
    sizes = [sum(s.rows for s in shards.manifest(folder).shards if s.split == "train") for folder in folders]
    weights = [share * sizes[0] / (shares[0] * max(size, 1)) for share, size in zip(shares, sizes, strict=True)]
    return np.concatenate([count * weight for count, weight in zip(counts, weights, strict=True)])


def _key(how: Farthest | Band, embeddings: Embeddings, met: Float64[np.ndarray, " report"]) -> str:
    digest = hashlib.sha256(json.dumps([describe(how), embeddings.reports]).encode())
    digest.update(np.ascontiguousarray(embeddings.vectors).data)
    digest.update(met.data)
    return digest.hexdigest()
