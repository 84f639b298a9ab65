import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgfm.data import shards, stream
from ecgfm.data.plan import Position
from ecgfm.data.storage import Folder
from ecgfm.model.text import TableConfig, TextConfig, TextTower
from ecgfm.negatives.embed import lexical
from ecgfm.negatives.service import service
from ecgfm.negatives.stock import Ask, Stock, in_process, texts
from ecgfm.objectives import dbeta
from ecgfm.recipes import find
from ecgfm.run import Farthest, Frame, Run, override
from ecgfm.train.engine import TorchEngine
from ecgfm.train.feed import Feed, corpora, hash_of, inputs, open_feed
from ecgfm.train.pretraining import Pretraining

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


@pytest.mark.parametrize("choice", [None, Farthest(64, "words")], ids=["band", "farthest"])  # there are 15 others
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


def test_false_reports_are_asked_for_ahead(run: Run, made_shards: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    def asker(stock: Stock) -> Ask:
        ask = in_process(stock)

        def noted(reports: np.ndarray, records: np.ndarray, seed: int, step: int) -> Callable[[], np.ndarray]:
            def answer() -> np.ndarray:
                seen.append(("answered", step))
                time.sleep(0.01)
                return found()

            seen.append(("asked", step))
            found = ask(reports, records, seed, step)
            return answer

        return noted

    feed = open_feed(run, [str(made_shards)], Folder(str(tmp_path)), BOTH, asker=asker)
    plain = open_feed(run, [str(made_shards)], Folder(str(tmp_path)), BOTH)
    given = feed.open("train", 5, Position())
    for (batch, after), (expected, place) in zip(given, plain.open("train", 5, Position()), strict=True):
        assert after == place
        assert seen[-1] == ("answered", after.batch - 1)
        assert ("asked", min(after.batch + 1, 4)) in seen
        assert (batch.far_report == expected.far_report).all()  # type: ignore[union-attr]
    assert 0.05 <= given.waited < 5


def test_a_service_gives_the_same_batches(run: Run, made_shards: Path, tmp_path: Path) -> None:
    """Read by Ray Data, too."""
    plain = open_feed(run, [str(made_shards)], Folder(str(tmp_path)), BOTH)
    served = open_feed(run, [str(made_shards)], Folder(str(tmp_path)), BOTH, asker=service(0))
    reader = served.reader("train")
    blocks = stream.dataset(reader, 3).streaming_split(1, equal=True)[0]
    pairs = zip(served.dress(stream.read(blocks, reader, 3)), plain.open("train", 3, Position()), strict=True)
    for (ours, after), (theirs, place) in pairs:
        assert after == place
        assert (ours.record == theirs.record).all()
        assert (ours.far_report == theirs.far_report).all()  # type: ignore[union-attr]
        assert (ours.far_words == theirs.far_words).all()  # type: ignore[union-attr]


def test_columns_say_how_records_are_read(run: Run, made_shards: Path, tmp_path: Path) -> None:
    def opened(*columns: str) -> Feed:
        return open_feed(replace(run, batch=16), [str(made_shards)], Folder(str(tmp_path)), frozenset(columns))

    assert opened().reader("train").plan.unit == 1
    assert opened("visits").reader("train").plan.unit == 2
    assert opened("ppg").reader("train").kinds == ("ppg",)
    with pytest.raises(ValueError, match="'tex'"):
        opened("tex").reader("train")


def test_vectors_that_take_long_are_not_made_on_the_way(run: Run, made_shards: Path, tmp_path: Path) -> None:
    asked = replace(run, negatives=Farthest(8, "google/flan-t5-large"))
    with pytest.raises(FileNotFoundError, match=r"jobs/negatives.py --shards .* --encoder google/flan-t5-large"):
        open_feed(asked, [str(made_shards)], Folder(str(tmp_path)), BOTH)


def table_of(run: Run, said: list[str], folder: Path) -> Run:
    """The run with frozen embeddings of these reports in the place of a text model, and no words to mask."""
    lexical(said).write(Folder(str(folder)), "table.safetensors")
    terms = dict.fromkeys(("mem", "etm", "ets"), 1.0)
    towers = replace(run.towers, text=TableConfig(str(folder / "table.safetensors")))
    return replace(run, towers=towers, objectives={"dbeta": dbeta.Config(terms)}, steps=4)


def test_dbeta_learns_from_a_table_of_embeddings(run: Run, made_shards: Path, tmp_path: Path) -> None:
    table = table_of(run, texts([Folder(str(made_shards))]), tmp_path)
    feed = open_feed(table, [str(made_shards)], Folder(str(tmp_path / "run")), BOTH)
    model = Pretraining(table.towers, table.objectives)
    engine = TorchEngine(model, model.groups(), table.optimizer, "cpu", "fp32")
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for batch, after in feed.open("train", 4, Position()):
        assert batch.words.shape[1] == 0
        assert (batch.far_report != batch.report)[batch.report >= 0].all()  # type: ignore[union-attr]
        loss, terms = engine(batch, after.batch)
        assert terms.keys() == {"dbeta/mem", "dbeta/etm", "dbeta/ets"}
        assert all(value.isfinite() for value in terms.values())
        engine.step(loss, terms, 1.0)
    still = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    # a report is one place there, of which attention takes all, so what asks for it learns nothing
    assert still <= {name for name in before if ".fusion.ecg." in name and ".norms.1." in name}


def test_a_table_of_other_reports_is_refused(run: Run, made_shards: Path, tmp_path: Path) -> None:
    table = table_of(run, texts([Folder(str(made_shards))])[::-1], tmp_path)
    with pytest.raises(ValueError, match="another report table"):
        open_feed(table, [str(made_shards)], Folder(str(tmp_path / "run")), BOTH)


def test_inputs_are_hashes_of_what_is_read(run: Run, made_shards: Path, tmp_path: Path) -> None:
    feed = open_feed(run, [str(made_shards)], Folder(str(tmp_path / "a")), BOTH)
    folders = {"made": str(made_shards)}
    found = inputs(folders, feed, None)
    assert found == inputs(folders, feed, None)
    assert inputs(folders, feed, "abc") == {**found, "text model": "abc"}
    side_by_side = open_feed(run, [str(made_shards)], Folder(str(tmp_path / "c")), BOTH | {"visits"})
    assert inputs(folders, side_by_side, None).keys() - found.keys() == {"order"}
    assert found["shards of made"] == shards.manifest(Folder(str(made_shards))).sha256
    shorter = open_feed(replace(run, words=3), [str(made_shards)], Folder(str(tmp_path / "b")), BOTH)
    assert inputs(folders, shorter, None)["words"] != found["words"]


def test_a_text_model_is_known_by_the_weights_that_were_read(text_model: str) -> None:
    """Not by its pool, which is drawn, and on another processor otherwise."""
    one, other = (TextTower(TextConfig(text_model), 32, 0.0, pretrained=True) for _ in range(2))
    assert not torch.equal(one.pool.map.weight, other.pool.map.weight)
    assert hash_of(one) == hash_of(other)
    with torch.no_grad():
        next(other.model.parameters())[0] += 1
    assert hash_of(one) != hash_of(other)
    assert hash_of(None) is None


def test_how_many_batches_a_split_fills(run: Run, made_shards: Path, tmp_path: Path) -> None:
    feed = open_feed(run, [str(made_shards)], Folder(str(tmp_path)), BOTH)
    index = shards.index(Folder(str(made_shards)), ["split"])
    train = index["split"].to_pylist().count("train")
    assert feed.batches("train", 1000) == train // run.batch > 25
    assert feed.batches("train", 5) == 5
    assert feed.batches("valid", 8) == 1  # fewer records than a batch holds
