from dataclasses import replace
from pathlib import Path

import pytest

from ecgfm.data import shards
from ecgfm.data.plan import Position
from ecgfm.data.storage import Folder
from ecgfm.model.text import TableConfig, TextConfig
from ecgfm.recipes import find
from ecgfm.run import Farthest, Frame, Run, override
from ecgfm.train.feed import corpora, inputs, open_feed

pytestmark = pytest.mark.ray
BOTH = frozenset({"text", "far"})


@pytest.fixture
def run(text_model: str) -> Run:
    tiny = find(["dbeta_tiny"])
    return override(tiny, {"towers.text": TextConfig(text_model), "corpora": {"made": 1}, "frame": Frame(100, 4.0)})


def test_the_corpora_are_those_of_the_shards(run: Run, made_shards: Path) -> None:
    shared, folders = corpora(replace(run, corpora={}), [str(made_shards)])
    assert shared.corpora == {"made": 1}
    assert folders == {"made": str(made_shards)}
    assert corpora(replace(run, corpora={"made": 3}), [str(made_shards)])[0].corpora == {"made": 3}
    with pytest.raises(ValueError, match="the recipe reads ptb-xl, and no shard folder is of it"):
        corpora(replace(run, corpora={"ptb-xl": 1}), [str(made_shards)])
    with pytest.raises(ValueError, match="2 shard folders hold 1 corpora"):
        corpora(run, [str(made_shards)] * 2)


@pytest.mark.parametrize("choice", [None, Farthest(8, "words")], ids=["band", "farthest"])
def test_reports_and_false_reports(run: Run, made_shards: Path, tmp_path: Path, choice: Farthest | None) -> None:
    feed = open_feed(replace(run, negatives=choice or run.negatives), [str(made_shards)], Folder(str(tmp_path)), BOTH)
    found = [batch for batch, _ in feed.open("train", 4, Position())]
    assert len(found) == 4
    for batch in found:
        assert batch.far_report is not None
        assert ((batch.far_report == -1) == (batch.report == -1)).all()
        assert (batch.far_report != batch.report)[batch.report >= 0].all()
        assert batch.far_words is not None
        assert batch.words.shape == batch.far_words.shape
        words, counts = feed.tokens.lookup(batch.far_report.numpy())  # type: ignore[union-attr]
        assert (words == batch.far_words.numpy()[:, : words.shape[1]]).all()
        assert (counts == batch.far_word_count.numpy()).all()  # type: ignore[union-attr]


def test_what_is_read_does_not_depend_on_processes_or_restarts(run: Run, made_shards: Path, tmp_path: Path) -> None:
    feed = open_feed(run, [str(made_shards)], Folder(str(tmp_path)), BOTH)
    again = open_feed(run, [str(made_shards)], Folder(str(tmp_path)), BOTH)  # what was kept is read
    whole = [batch for batch, _ in feed.open("train", 6, Position())]
    halves = [[batch for batch, _ in again.open("train", 6, Position(2), rank, 2)] for rank in range(2)]
    for batch, *parts in zip(whole[2:], *halves, strict=True):
        far = {int(r): int(f) for part in parts for r, f in zip(part.record, part.far_report, strict=True)}
        assert far == {int(r): int(f) for r, f in zip(batch.record, batch.far_report, strict=True)}


def test_what_no_method_asks_for_is_not_made(run: Run, made_shards: Path, tmp_path: Path) -> None:
    feed = open_feed(run, [str(made_shards)], Folder(str(tmp_path)), frozenset())
    batch, _ = next(feed.open("train", 1, Position()))
    assert batch.far_report is None
    assert batch.words.shape[1] == 0
    assert not [*tmp_path.iterdir()]


def test_a_table_of_embeddings_has_no_words(run: Run, made_shards: Path, tmp_path: Path) -> None:
    table = replace(run, towers=replace(run.towers, text=TableConfig("nowhere.npy")))
    feed = open_feed(table, [str(made_shards)], Folder(str(tmp_path)), BOTH)
    batch, _ = next(feed.open("train", 1, Position()))
    assert batch.far_report is not None
    assert (batch.far_report >= 0).any()
    assert batch.words.shape[1] == 0


def test_inputs_are_hashes_of_what_is_read(run: Run, made_shards: Path, tmp_path: Path) -> None:
    feed = open_feed(run, [str(made_shards)], Folder(str(tmp_path / "a")), BOTH)
    folders = {"made": str(made_shards)}
    found = inputs(folders, feed, None)
    assert found == inputs(folders, feed, None)
    assert found["shards of made"] == shards.manifest(Folder(str(made_shards))).sha256
    shorter = open_feed(replace(run, words=3), [str(made_shards)], Folder(str(tmp_path / "b")), BOTH)
    assert inputs(folders, shorter, None)["words"] != found["words"]


def test_how_many_batches_a_split_fills(run: Run, made_shards: Path, tmp_path: Path) -> None:
    feed = open_feed(run, [str(made_shards)], Folder(str(tmp_path)), BOTH)
    index = shards.index(Folder(str(made_shards)), ["split"])
    train = index["split"].to_pylist().count("train")
    assert feed.batches("train", 1000) == train // run.batch > 25
    assert feed.batches("train", 5) == 5
    assert feed.batches("valid", 8) == 1  # fewer records than a batch holds
