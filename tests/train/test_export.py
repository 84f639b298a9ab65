from dataclasses import replace
from pathlib import Path

import batches
import pytest
import torch
from kept import trained
from safetensors.torch import save_file

import ecgfm
from ecgfm.data.storage import Folder
from ecgfm.model.encoded import Encoded
from ecgfm.model.text import TableConfig, TextConfig
from ecgfm.model.views import EcgView, TextView
from ecgfm.recipes import find
from ecgfm.run import Resources, Run, override
from ecgfm.train import claim
from ecgfm.train.export import export
from ecgfm.train.pretraining import Pretraining


@pytest.fixture
def run(text_model: str) -> Run:
    return override(find(["dbeta_tiny"]), {"towers.text": TextConfig(text_model)})


def test_the_newest_checkpoint_or_another(run: Run, tmp_path: Path) -> None:
    home, batch = Folder(str(tmp_path)), batches.make()
    older, newer = trained(run, home, 4, 8)
    for step, model in ((None, newer), (4, older)):
        assert export(home, step) == (step or 8)
        found, seen = ecgfm.load(str(tmp_path), "cpu"), Encoded(model.towers, batch, seed=0)
        assert found.embed_batch(batch).equal(seen.embed(EcgView()))
        assert (found.pool, found.frame, found.card.step, found.card.words) == ("summary", run.frame, step or 8, 256)
        assert Encoded(found.towers, batch, 0).embed(TextView()).equal(seen.embed(TextView()))


def test_a_table_of_reports_stays_behind(run: Run, tmp_path: Path) -> None:
    save_file({"vectors": torch.randn(100_000, 8)}, tmp_path / "reports.safetensors")
    table = override(run, {"towers.text": TableConfig(str(tmp_path / "reports.safetensors"))})
    terms = {"objectives.dbeta.terms": {"ets": 1.0, "mem": 1.0}}
    home, batch = Folder(str(tmp_path / "run")), batches.make()
    (model,) = trained(override(table, terms), home, 4)
    (tmp_path / "reports.safetensors").unlink()
    export(home)
    found = ecgfm.load(str(tmp_path / "run"), "cpu")
    assert found.towers.text is None
    assert found.embed_batch(batch).equal(Encoded(model.towers, batch, seed=0).embed(EcgView()))


def test_what_cannot_be_exported_is_told(run: Run, tmp_path: Path) -> None:
    home = Folder(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"is no run's folder: it holds no run\.json"):
        export(home)
    trained(run, home)
    with pytest.raises(FileNotFoundError, match="holds no checkpoint yet"):
        export(home)
    trained(run, home, 4)
    claim.record(home, override(run, {"towers.heads": 4}), {}, Resources(), 0, "")
    with pytest.raises(ValueError, match=r"checkpoint 4 of .* holds other towers: ecg\.blocks\.2.* is in these alone"):
        export(home)


def test_a_pool_that_is_not_built_is_refused_at_the_start(run: Run) -> None:
    assert Pretraining.of(run).towers.pools.keys() == {"summary"}
    with pytest.raises(ValueError, match=r"embed: the recipe names the pool 'mean', .* there are summary"):
        Pretraining.of(replace(run, embed="mean"))
