import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY

from ecgfm.data.storage import Folder
from ecgfm.negatives.embed import Encoder, lexical, neural
from ecgfm.negatives.stock import texts
from ecgfm.negatives.vectors import Embeddings, file_name
from jobs.negatives import main

pytestmark = pytest.mark.ray


def job(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / "jobs" / "negatives.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


@pytest.fixture
def folder(made_shards: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made_shards, tmp_path / "shards")


@pytest.mark.slow
def test_by_an_encoder_twice(folder: Path, text_model: str) -> None:
    first, second = (job("--shards", folder, "--encoder", text_model) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    home = Folder(str(folder))
    said = texts([home])
    name = file_name(text_model, said)
    assert first.stdout.strip() == f"made {home}/{name}"
    assert second.stdout.strip() == f"nothing to do: {home}/{name}"
    made, expected = Embeddings.read(home, name, said), neural(said, Encoder(text_model))
    np.testing.assert_allclose(made.vectors.astype(float), expected.vectors.astype(float), atol=2**-10)
    for output in (first.stdout, first.stderr, second.stderr):
        assert "report number" not in output  # what reports say stays out


def test_by_words(folder: Path) -> None:
    assert main(["--shards", str(folder), "--encoder", "words"]) == 0
    said = texts([Folder(str(folder))])
    made = Embeddings.read(Folder(str(folder)), file_name("words", said), said)
    np.testing.assert_array_equal(made.vectors, lexical(said).vectors)


def test_what_is_not_there(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--shards", str(tmp_path / "nothing")]) == 1
    assert "holds no manifest.json" in capsys.readouterr().err
    assert main(["--shards", str(folder), "--encoder", str(tmp_path / "nothing")]) == 1
    assert f"no encoder {tmp_path / 'nothing'}" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["--shards", str(folder), "--encodr", "words"])
    assert caught.value.code == 2
