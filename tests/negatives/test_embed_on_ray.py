import shutil
from pathlib import Path

import pytest
import torch

from ecgfm.data.storage import Folder
from ecgfm.model import local_t5
from ecgfm.negatives.embed import Encoder
from ecgfm.negatives.embed_on_ray import Work, check, embed, in_order, part_name
from ecgfm.negatives.stock import texts
from ecgfm.negatives.vectors import Embeddings, file_name

pytestmark = pytest.mark.ray


@pytest.fixture
def work(made_shards: Path, text_model: str, tmp_path: Path) -> Work:
    """Two corpora that share their reports, in parts of five."""
    folders = (Folder(str(shutil.copytree(made_shards, tmp_path / name))) for name in ("one", "two"))
    return Work((*folders,), text_model, reports=5)


def in_this_process(work: Work) -> dict[str, torch.Tensor]:
    """The vector of each text, part by part, one after another in one thread."""
    threads, encoder = torch.get_num_threads(), Encoder(work.encoder)
    torch.set_num_threads(1)
    parts = work.parts(in_order(texts(work.folders)))
    made = {
        text: v for part in parts for text, v in zip(part, Embeddings.of(encoder(part), "", part).vectors, strict=True)
    }
    torch.set_num_threads(threads)
    return made


def test_each_report_once_and_the_same_wherever_and_after_a_stop(work: Work) -> None:
    said, home = texts(work.folders), work.folders[0]
    assert len(set(said)) < len(said)
    expected, parts = in_this_process(work), work.parts(in_order(said))
    name = file_name(work.encoder, said)
    unlike = Embeddings.of(torch.ones(5, 128).numpy(), Encoder(work.encoder).name, parts[1])  # to be known again
    unlike.write(home, part_name(name, 1))
    seen: list[tuple[int, int]] = []
    embed(work, lambda done, total: seen.append((done, total)))
    assert seen == [(done, len(parts)) for done in range(1, len(parts) + 1)]  # one of them was there
    made = Embeddings.read(home, name, said)
    for text, vector in zip(said, made.vectors, strict=True):
        assert (vector == (unlike.vectors[0] if text in parts[1] else expected[text])).all()
    assert made.model == Encoder(work.encoder).name
    assert [*home.names("vectors")] == [name]  # the parts are gone


def test_parts_of_two_models_are_not_joined(work: Work) -> None:
    said = texts(work.folders)
    name = file_name(work.encoder, said)
    for number, part in enumerate(work.parts(in_order(said))):
        vectors = torch.ones(len(part), 128).numpy()
        Embeddings.of(vectors, f"weights of day {min(number, 1)}", part).write(work.folders[0], part_name(name, number))
    with pytest.raises(ValueError, match="weights have changed since the job was begun"):
        embed(work)


def test_an_encoder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no encoder /nowhere/at-all"):
        check("/nowhere/at-all")
    local_t5.make(["sinus rhythm"], tmp_path / "t5", heads=1)
    check(str(tmp_path / "t5"))
    (tmp_path / "t5" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="no encoder"):
        check(str(tmp_path / "t5"))
