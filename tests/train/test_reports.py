"""The reports of a feed: of two corpora with a text in common, after a start that was corrected, and their lengths."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from batches import make
from sklearn.metrics import roc_auc_score

from ecgfm.batch import Batch
from ecgfm.data import reports, shards
from ecgfm.data.plan import Position
from ecgfm.data.shards import Manifest, Shard
from ecgfm.data.storage import Folder
from ecgfm.data.synthetic.people import visits
from ecgfm.data.synthetic.report import report
from ecgfm.losses.contrastive import pair_labels
from ecgfm.model import local_t5
from ecgfm.model.text import TextConfig
from ecgfm.recipes import find
from ecgfm.run import Band, Farthest, Run, override
from ecgfm.train.feed import Feed, open_feed

TEXT, BOTH = frozenset({"text"}), frozenset({"text", "far"})
HOW = find(["dbeta"]).negatives
assert isinstance(HOW, Band)


def corpus(folder: Path, said: dict[str, int]) -> str:
    """A shard folder of which only the reports are there: every text, and how many training records have it."""
    table = pa.table({"text": [*said], "train": [*said.values()]})
    shard = Shard("train-00000.parquet", "train", sum(said.values()), 0, 0, "")
    Folder(str(folder)).write("reports.parquet", shards.pack_table(table))
    Folder(str(folder)).write("manifest.json", Manifest(folder.name, "", 8, 1, len(said), (shard,), {}).json())
    return str(folder)


def of(text_model: str, corpora: Sequence[str], **changes: object) -> Run:
    made = {"towers.text": TextConfig(text_model), "corpora": dict.fromkeys(map(str, range(len(corpora))), 1)}
    return override(find(["dbeta_tiny"]), made | changes)


def opened(text_model: str, corpora: Sequence[str], home: Path, columns: frozenset[str] = TEXT, **changes) -> Feed:
    return open_feed(of(text_model, corpora, **changes), corpora, Folder(str(home)), columns)


def bare(*said: Sequence[int]) -> Iterator[tuple[Batch, Position]]:
    """Batches of records with these reports."""
    for number, numbers in enumerate(said):
        nothing = {"far_report": None, "far_words": None, "far_word_count": None}
        records = make(len(numbers), samples=16)
        yield replace(records, report=torch.from_numpy(np.array(numbers)), **nothing), Position(number + 1)


def test_a_text_of_two_corpora_is_one_report(text_model: str, tmp_path: Path) -> None:
    one = corpus(tmp_path / "one", {"sinus rhythm": 3, "low voltage": 2})
    other = corpus(tmp_path / "other", {"atrial fibrillation": 1, "low voltage": 4})
    feed = opened(text_model, [one, other], tmp_path / "run")
    ((batch, _),) = feed.dress(bare([0, 1, 2, 3, -1]))
    assert batch.report.tolist() == [0, 1, 2, 1, -1]
    subject, nothing = torch.arange(5), torch.zeros(5, dtype=torch.bool)
    z = pair_labels(batch.report, subject, batch.report, subject, nothing, spare_same=True)(slice(None))
    assert z[1, 3] == z[3, 1] == 0
    assert z[0, 3] == z[2, 3] == -1
    asked = replace(feed, ask=lambda *_: lambda: np.array([3, 2, 1, 0, -1]))
    ((swapped, _),) = asked.dress(bare([0, 1, 2, 3, -1]))
    assert swapped.far_report is not None
    assert swapped.report.tolist() == [0, 1, 2, 1, -1]
    assert swapped.far_report.tolist() == [1, 2, 1, 0, -1]


def test_words_of_a_start_that_was_corrected_are_not_taken(text_model: str, tmp_path: Path) -> None:
    one = corpus(tmp_path / "one", {"sinus rhythm. low voltage. normal ecg": 3, "low voltage": 2})
    other = corpus(tmp_path / "other", {"normal ecg": 3})
    local_t5.make(["voltage of low rhythm", "ecg normal or sinus"], tmp_path / "text", heads=2)
    home = tmp_path / "run"

    def words(text: str, corpora: Sequence[str], limit: int = 256) -> list[list[int]]:
        table = opened(text, corpora, home, words=limit).tokens
        assert table is not None
        return [table.lookup(np.array([number]))[0][0].tolist() for number in range(len(table.counts))]

    first = words(text_model, [one])
    assert words(text_model, [one]) == first
    assert len([*home.iterdir()]) == 1  # made once
    assert words(text_model, [one], limit=3) != first
    assert words(str(tmp_path / "text"), [one]) != first
    assert len(words(text_model, [other, one])) == len(first) + 1
    assert words(text_model, [one]) == first


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, np.ndarray]:
    """A text model and a corpus of the reports of synthetic recordings, 4 to 80 words long, and that of each."""
    lines = [report(visit, visit.number % 3) for visit in visits(seed=3, records=3000)]
    columns = [pa.array([line[i] if i < len(line) else None for line in lines], pa.string()) for i in range(18)]
    encoded = reports.join(columns).dictionary_encode()
    texts, numbers = encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
    folder = tmp_path_factory.mktemp("said")
    local_t5.make(texts, folder / "text", heads=2)
    made = corpus(folder / "corpus", dict(zip(texts, np.bincount(numbers).tolist(), strict=True)))
    return str(folder / "text"), made, numbers


@pytest.mark.parametrize(
    ("how", "told"), [(replace(HOW, encoder="words"), False), (Farthest(64, "words"), True)], ids=["dbeta", "paper"]
)
def test_length_does_not_tell_false_reports_of_dbeta(
    said: tuple[str, str, np.ndarray], tmp_path: Path, how: Band | Farthest, told: bool
) -> None:
    """A guess by how often reports of so many words were true and were false in the other half of the batches."""
    text, made, numbers = said
    order = [np.random.default_rng(epoch).permutation(numbers)[:1024] for epoch in range(16)]
    feed = opened(text, [made], tmp_path, BOTH, negatives=how)
    batches = [batch for batch, _ in feed.dress(bare(*order))]
    own, far = (
        np.stack([getattr(batch, name).numpy() for batch in batches]) for name in ("word_count", "far_word_count")
    )
    assert own.max() > 5 * own.min()
    learnt = [np.bincount(counts[::2].ravel(), minlength=300) for counts in (own, far)]
    odds = np.log((learnt[0] + 0.5) / (learnt[1] + 0.5))
    true, false = odds[own[1::2].ravel()], odds[far[1::2].ravel()]
    auc = roc_auc_score(np.arange(len(true) + len(false)) < len(true), np.concatenate([true, false]))
    assert auc > 0.6 if told else auc <= 0.55


def test_a_corpus_without_held_out_records_is_named(text_model: str, tmp_path: Path) -> None:
    feed = opened(text_model, [corpus(tmp_path / "one", {"sinus rhythm": 3})], tmp_path / "run")
    with pytest.raises(ValueError, match="the shards of one hold no valid records: leave the corpus out, or make"):
        feed.reader("valid")
