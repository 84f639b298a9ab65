"""One batch through the towers: views are shared, and what is padding reaches no feature."""

from pathlib import Path

import pytest
import torch
from batches import fill_padding, make, reorder, tiny
from safetensors.torch import save_file

from ecgfm.model.config import SIZES, TowerConfig
from ecgfm.model.encoded import Encoded
from ecgfm.model.pool import Project
from ecgfm.model.text import TableConfig
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView, TextView

VIEW, READ = EcgView(leads=0.5, tokens=0.75), TextView(words=0.25, far=0.5)


@pytest.fixture(scope="module")
def towers(text_model: str) -> Towers:
    torch.manual_seed(0)
    return Towers(tiny(text_model, dropout=0.1, pools={"summary": Project(), "mean": Project("mean")}))


def test_each_view_is_computed_once(towers: Towers) -> None:
    seen = Encoded(towers, make(), seed=1)
    assert seen.ecg(VIEW) is seen.ecg(EcgView(leads=0.5, tokens=0.75))
    assert seen.embed(VIEW) is seen.embed(VIEW)
    assert seen.passes == 1
    seen.embed(VIEW, "mean"), seen.text(READ), seen.embed(READ), seen.ecg(), seen.text()
    assert seen.passes == 4
    assert seen.ecg(EcgView(leads=0.5, tokens=0.75, draw=1)) is not seen.ecg(VIEW)


def test_no_feature_knows_what_padding_holds(towers: Towers) -> None:
    batch = make()
    one = Encoded(towers, batch, seed=1)
    other = Encoded(towers, fill_padding(batch, signal=321, scale=9.0, words=17), seed=1)
    for view in (VIEW, EcgView(), READ, TextView()):
        first, second = (seen.text(view) if isinstance(view, TextView) else seen.ecg(view) for seen in (one, other))
        for a, b in zip(torch.utils._pytree.tree_leaves(first), torch.utils._pytree.tree_leaves(second), strict=True):
            assert a is b is None or torch.equal(a, b)
        assert torch.equal(one.embed(view), other.embed(view))


def test_features_follow_the_record_with_dropout_too(towers: Towers) -> None:
    batch, turned = make(), reorder(make(), range(7, -1, -1))
    one, other = (Encoded(towers, b, seed=1, noise=True) for b in (batch, turned))
    for view in (VIEW, READ):
        torch.testing.assert_close(one.embed(view).flip(0), other.embed(view), atol=1e-5, rtol=1e-4)
        calm = Encoded(towers, batch, seed=1)
        assert (one.embed(view) - calm.embed(view)).abs().max() > 1e-3


def test_without_noise_and_masks_the_seed_does_not_matter(towers: Towers) -> None:
    one, other = (Encoded(towers.train(), make(), seed=seed) for seed in (1, 2))
    assert torch.equal(one.embed(EcgView()), other.embed(EcgView()))
    assert torch.equal(one.embed(TextView()), other.embed(TextView()))


def test_swapped_texts_belong_to_nobody(towers: Towers) -> None:
    batch = make(records=40)
    text = Encoded(towers, batch, seed=1).text(READ)
    assert 5 < text.swapped.sum() < 35
    assert (text.subject[text.swapped] == -1).all()
    assert torch.equal(text.subject[~text.swapped], batch.subject[~text.swapped])
    assert torch.equal(text.report, torch.where(text.swapped, batch.far_report, batch.report))


def test_a_table_of_embeddings_in_the_place_of_the_encoder(tmp_path: Path) -> None:
    save_file({"vectors": torch.randn(100_000, 5)}, tmp_path / "table.safetensors")
    config = TowerConfig(heads=SIZES["tiny"], text=TableConfig(str(tmp_path / "table.safetensors")))
    batch, towers = make(records=20), Towers(config)
    seen = Encoded(towers, batch, seed=1)
    text = seen.text(TextView(far=0.5))
    assert torch.equal(text.tokens[:, 0], towers.text.table[torch.where(text.swapped, batch.far_report, batch.report)])
    assert seen.embed(TextView(far=0.5)).shape == (20, config.width)
    with pytest.raises(ValueError, match="table of embeddings"):
        seen.text(TextView(words=0.25))


def test_text_without_a_tower() -> None:
    with pytest.raises(ValueError, match="columns must name 'text'"):
        Encoded(Towers(TowerConfig(heads=SIZES["tiny"], text=None)), make(), seed=0).text()
