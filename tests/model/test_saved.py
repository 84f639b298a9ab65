import json
import shutil
from dataclasses import replace
from pathlib import Path

import batches
import pytest
import torch
from transformers import AutoTokenizer

from ecgfm.data.storage import Folder
from ecgfm.model import saved
from ecgfm.model.config import SIZES, TowerConfig
from ecgfm.model.encoded import Encoded
from ecgfm.model.pool import Project
from ecgfm.model.text import TextConfig
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView, TextView
from ecgfm.run import Frame


def card(text: str | None = None, **changes) -> saved.Card:
    towers = TowerConfig(
        heads=SIZES["tiny"], text=TextConfig(text) if text else None, pools={"summary": Project("mean")}, **changes
    )
    return saved.Card(towers, Frame(100, 4.0), "summary", True, 256, "0" * 64, 20)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    saved.write(Folder(str(tmp_path / "run")), card(), Towers(card().towers))
    return tmp_path / "run"


@pytest.mark.parametrize("position", ["sines", "convolution"])
@pytest.mark.parametrize("remote", [False, True], ids=["disk", "bucket"])
def test_what_is_read_is_what_was_written(
    remote: bool, position: str, tmp_path: Path, text_model: str, request: pytest.FixtureRequest
) -> None:
    folder = Folder(request.getfixturevalue("bucket").replace("folder", position) if remote else str(tmp_path / "run"))
    text = shutil.copytree(text_model, tmp_path / "text")
    given = card(str(text), position=position)
    towers = Towers(given.towers).eval()
    saved.write(folder, given, towers)
    shutil.rmtree(text)
    found = saved.read(folder)
    assert found.card == given
    assert found.towers.config == given.towers
    assert not found.towers.training
    batch, ecg, text_view = batches.make(), EcgView(leads=0.5, tokens=0.5), TextView(words=0.25)
    one, other = Encoded(towers, batch, seed=1), Encoded(found.towers, batch, seed=1)
    assert one.embed(ecg).equal(other.embed(ecg))
    assert one.embed(text_view).equal(other.embed(text_view))
    assert found.tokenizer is not None
    reports = batches.reports(20, seed=7)
    assert found.tokenizer(reports).input_ids == AutoTokenizer.from_pretrained(text_model)(reports).input_ids


@pytest.mark.parametrize("name", ["towers.safetensors", "text/tokenizer.json"])
def test_damage_is_seen(name: str, tmp_path: Path, text_model: str) -> None:
    folder, given = Folder(str(tmp_path)), card(text_model)
    saved.write(folder, given, Towers(given.towers))
    content = bytearray(folder.read(name))
    content[len(content) // 2] ^= 1
    folder.write(name, bytes(content))
    with pytest.raises(ValueError, match=rf"is damaged: {name} is not what was written"):
        saved.read(folder)
    folder.delete(name)
    with pytest.raises(FileNotFoundError, match=f"is not whole: {name} is missing"):
        saved.read(folder)


def test_what_holds_no_towers_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no towers\.json: give the folder of a run or of an export"):
        saved.read(Folder(str(tmp_path)))
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=f"holds no towers.json: ecgfm export {tmp_path}"):
        saved.read(Folder(str(tmp_path)))


def test_another_format_is_refused(kept: Path) -> None:
    held = json.loads((kept / "towers.json").read_text())
    (kept / "towers.json").write_text(json.dumps(held | {"format": "ecgfm-towers-7"}))
    with pytest.raises(ValueError, match="of the format ecgfm-towers-7; this version reads ecgfm-towers-2"):
        saved.read(Folder(str(kept)))


def test_only_all_weights_fit_and_only_in_their_shapes() -> None:
    towers = Towers(card().towers)
    whole = {name: torch.randn_like(tensor) for name, tensor in saved.weights(towers).items()}
    saved.fill(towers, whole, "it")
    assert all(tensor.equal(whole[name]) for name, tensor in saved.weights(towers).items())
    summary = whole.pop("ecg.summary")
    with pytest.raises(ValueError, match=r"a holds other towers: ecg\.summary is in these alone"):
        saved.fill(towers, whole, "a")
    with pytest.raises(ValueError, match=r"a holds other towers: ecg\.zzz is in it alone"):
        saved.fill(towers, whole | {"ecg.summary": summary, "ecg.zzz": summary}, "a")
    with pytest.raises(ValueError, match=r"a: ecg\.summary has the shape \(5,\), not \(128,\)"):
        saved.fill(towers, whole | {"ecg.summary": torch.ones(5)}, "a")


def test_a_second_write_takes_the_place_of_the_first(kept: Path) -> None:
    later = replace(card(), step=40)
    saved.write(Folder(str(kept)), later, Towers(later.towers))
    assert saved.read(Folder(str(kept))).card.step == 40
