import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made import Corpus, make

from ecgfm.data.reader import open_reader
from ecgfm.data.storage import Folder
from ecgfm.negatives.embed import lexical
from ecgfm.negatives.stock import Stock, texts, use
from ecgfm.negatives.vectors import Embeddings, file_name
from ecgfm.run import Band, Farthest, Frame

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def folders(made_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Folder]:
    """Two corpora; the second is a third as large, and some reports are in both."""
    other = tmp_path_factory.mktemp("other")
    make(other, Corpus(first=200, records=100))
    return [Folder(str(made_shards)), Folder(str(other))]


def test_use_is_how_often_training_meets_a_report(folders: list[Folder]) -> None:
    """Counted in what the plan reads: many epochs of the small corpus, as it has three shares of four."""
    plan = open_reader((f.uri for f in folders), "train", 64, Frame(100, 4.0), shares=(1, 3)).plan
    counts, before = np.zeros(len(texts(folders))), 0
    places = [plan.batch_places(batch) for batch in range(200)]
    for corpus, folder in enumerate(folders):
        index = pq.read_table(folder.path("index.parquet"), columns=["shard", "row", "report"]).to_pandas()
        report = index.set_index(["shard", "row"])["report"]
        for some in places:
            here = some.corpus == corpus
            read = report.loc[[*zip(some.shard[here], some.row[here], strict=True)]].to_numpy()
            np.add.at(counts, read[read >= 0] + before, 1)
        before += len(texts([folder]))
    expected = use(folders, (1, 3))
    np.testing.assert_allclose(counts / counts.sum(), expected / expected.sum(), atol=1e-3)
    alone = pq.read_table(folders[0].path("reports.parquet"))["train"].to_numpy()
    np.testing.assert_array_equal(use(folders[:1], (3,)), alone)


def test_vectors_beside_the_shards_come_first(folders: list[Folder], tmp_path: Path) -> None:
    how, home, said = Band(0.0, 0.5, "words"), Folder(str(tmp_path / "run")), texts(folders)
    made = Stock.open(how, folders, (1, 1), home)
    assert made.vectors == home  # by words, they are made there
    name = file_name("words", said)
    lexical(said).write(folders[1], name)
    found = Stock.open(how, folders, (1, 1), home)
    assert found.vectors == folders[1]
    assert found.key == made.key  # of what is in it
    folders[1].delete(name)


def test_equal_texts_of_two_corpora_are_not_each_others_negatives(folders: list[Folder], tmp_path: Path) -> None:
    said = np.array(texts(folders))
    assert len(np.unique(said)) < len(said)
    choice = Stock.open(Farthest(64, "words"), folders, (1, 1), Folder(str(tmp_path))).choice()
    own = np.arange(len(said)).repeat(50)
    assert (said[choice(own, np.arange(len(own)), 0, 0)] != said[own]).all()


def test_a_key_is_of_all_that_decides_an_answer(folders: list[Folder], tmp_path: Path) -> None:
    home, how = Folder(str(tmp_path)), Farthest(8, "words")
    first = Stock.open(how, folders, (1, 1), home)
    assert Stock.open(how, folders, (1, 1), home) == first
    keys = {
        first.key,
        Stock.open(Farthest(9, "words"), folders, (1, 1), home).key,
        Stock.open(how, folders, (1, 2), home).key,
        Stock.open(how, folders[::-1], (1, 1), home).key,
    }
    said, name = texts(folders), file_name("words", texts(folders))
    Embeddings.of(lexical(said).vectors[::-1].astype(np.float32), "others", said).write(home, name)
    keys.add(Stock.open(how, folders, (1, 1), home).key)
    assert len(keys) == 5
    with pytest.raises(ValueError, match="have changed since the run was started"):
        first.choice()


def test_without_two_reports_nothing_can_be_chosen(folders: list[Folder], tmp_path: Path) -> None:
    """Nor are vectors asked for that could not be made."""
    said = pq.read_table(folders[0].path("reports.parquet"))
    silent = Folder(str(shutil.copytree(folders[0].path(), tmp_path / "silent")))
    pq.write_table(
        said.set_column(said.schema.get_field_index("train"), "train", [0 * said["train"].to_numpy()]),
        silent.path("reports.parquet"),
    )
    with pytest.raises(ValueError, match=r"training meets 0 different reports in .*silent, and false ones"):
        Stock.open(Band(), [silent], [1], Folder(str(tmp_path)))
