import shutil
import sys
from pathlib import Path

import pytest
from kept import trained
from made import Corpus, make
from transformers import AutoTokenizer

from ecgfm import cli
from ecgfm.data.storage import Folder
from ecgfm.model.text import described, vocabulary
from ecgfm.recipes import find
from ecgfm.run import override

pytestmark = pytest.mark.ray


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ecgfm", *map(str, arguments)])
    return cli.main()


def test_whole_shards_verify(made_shards: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert run(monkeypatch, "verify", made_shards) == 0
    assert "files are whole" in capsys.readouterr().out


def test_a_damaged_shard_is_named_with_the_remedy(
    made_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(made_shards, tmp_path / "copy")
    with open(tmp_path / "copy" / "train-00001.parquet", "r+b") as shard:
        shard.seek(3000)
        shard.write(b"\0\1\2")
    assert run(monkeypatch, "verify", tmp_path / "copy") == 1
    out = capsys.readouterr().out
    assert "damaged: train-00001.parquet" in out
    assert "--repair" in out


def test_a_shard_that_cannot_be_read_is_damaged(
    made_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(made_shards, tmp_path / "copy")
    shard = tmp_path / "copy" / "train-00001.parquet"
    shard.unlink()
    shard.mkdir()  # is there and cannot be read
    (tmp_path / "copy" / "train-00002.parquet").write_bytes(b"")
    assert run(monkeypatch, "verify", tmp_path / "copy") == 1
    out = capsys.readouterr().out
    assert "damaged: train-00001.parquet" in out
    assert "damaged: train-00002.parquet" in out


def test_a_published_corpus_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a.dat").write_bytes(b"abc")
    sums = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a.dat\n"
    (tmp_path / "SHA256SUMS.txt").write_text(sums)
    assert run(monkeypatch, "verify", tmp_path) == 0
    (tmp_path / "a.dat").write_bytes(b"abd")
    assert run(monkeypatch, "verify", tmp_path) == 1
    assert "changed: a.dat" in capsys.readouterr().out


def test_pictures_of_a_shard(made_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ecg, card = tmp_path / "ecg.png", tmp_path / "card.png"
    assert run(monkeypatch, "show", made_shards / "train-00000.parquet", "--row", 9, "--to", ecg) == 0
    assert run(monkeypatch, "card", made_shards, "--to", card) == 0
    assert ecg.read_bytes()[:4] == card.read_bytes()[:4] == b"\x89PNG"


def test_recordings_in_two_folders_are_found(
    made_shards: Path, local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    make(tmp_path / "first", Corpus(records=40))
    make(tmp_path / "others", Corpus(records=40, first=5000))
    assert run(monkeypatch, "overlap", made_shards, tmp_path / "first") == 1
    assert "38 pairs of equal recordings" in capsys.readouterr().out
    assert run(monkeypatch, "overlap", made_shards, tmp_path / "others") == 0


def test_what_no_overlap_can_be_found_in_is_not_called_clear(
    made_shards: Path, local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The same recordings at another rate have other samples."""
    manifest, _ = make(tmp_path / "slow", Corpus(records=40, rate=50))
    assert run(monkeypatch, "overlap", made_shards, tmp_path / "slow") == 1
    assert capsys.readouterr().out.splitlines() == [
        "no equal recordings",
        f"289 recordings of {made_shards} at 100 Hz could not be compared: {tmp_path}/slow holds none at that rate",
        f"{manifest.records} recordings of {tmp_path}/slow at 50 Hz could not be compared: {made_shards} holds none "
        "at that rate",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "train-00000.parquet", "--row", "900"), "has no row 900"),
        (("show", "train-09999.parquet"), "has no row 0: it has 0 rows"),
        (("show", "nothing"), "missing-file"),
        (("card", "nowhere"), "nowhere"),
        (("verify", "nowhere"), "corpora.md"),
    ],
)
def test_what_is_not_there_is_said_once(
    arguments: tuple[str, ...],
    message: str,
    made_shards: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(made_shards)
    assert run(monkeypatch, *arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_towers_are_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, text_model: str
) -> None:
    trained(override(find(["dbeta_tiny"]), {"towers.text.name": text_model}), Folder(str(tmp_path)), 4, 8)
    assert run(monkeypatch, "export", tmp_path, "--step", 4) == 0
    assert f"{tmp_path} holds its towers as they were at step 4" in capsys.readouterr().out
    assert run(monkeypatch, "export", tmp_path, "--step", 5) == 1
    assert "has no checkpoint 5: it has 4, 8" in capsys.readouterr().err


def test_what_a_run_makes_of_a_recording_is_drawn(
    made_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text_model: str, capsys: pytest.CaptureFixture
) -> None:
    """Every method that draws, with and without a report to help it, and every pool of tokens."""
    drawn, shard = {}, made_shards / "train-00000.parquet"
    for name in ("together_tiny", "merit_tiny", "crossl_tiny"):
        home = tmp_path / name
        trained(override(find([name]), {"towers.text.name": text_model}), Folder(str(home)), 4)
        code = run(monkeypatch, "draw", home, shard, "--row", 3, "--to", home / "pages")
        pages = sorted((home / "pages").glob("*.png"))
        assert (code == 0) == bool(pages)
        assert all(page.read_bytes()[:4] == b"\x89PNG" for page in pages)
        drawn[name] = [page.stem for page in pages]
    assert drawn == {
        "together_tiny": ["dbeta-drawn", "fingerprint-attention", "fingerprint-drawn"],
        "merit_tiny": ["merit-drawn"],
        "crossl_tiny": [],
    }
    assert "has no method that draws the signal" in capsys.readouterr().err
    assert run(monkeypatch, "draw", tmp_path / "merit_tiny", shard, "--row", 900) == 1
    assert "has no row 900" in capsys.readouterr().err


def test_a_text_model_knows_the_words_of_a_corpus(
    made_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "text-model", made_shards, "--to", tmp_path / "text", "--heads", 2) == 0
    config = described(str(tmp_path / "text"))
    assert (config.d_model, config.num_layers) == (128, 2)
    known, tokenizer = (
        vocabulary(str(tmp_path / "text"), config.vocab_size),
        AutoTokenizer.from_pretrained(tmp_path / "text"),
    )
    assert len(tokenizer("report number 7")["input_ids"]) < 6  # whole words, and the end
    assert known.mask in tokenizer.all_special_ids


def test_a_folder_that_holds_no_text_model_is_named(tmp_path: Path) -> None:
    for name in (str(tmp_path), str(tmp_path / "absent")):
        with pytest.raises(FileNotFoundError, match="no text model"):
            described(name)
