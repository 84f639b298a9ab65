"""What the claim makes of figures, on figures that are made up; and what a probe reads."""

import sys

import numpy as np
import pytest
import torch
from batches import make
from conftest import REPOSITORY

from ecgfm import recipes
from ecgfm.evaluate.tasks import Cohort, Examined, Task
from ecgfm.model.encoded import Encoded
from ecgfm.model.views import EcgView
from ecgfm.train.pretraining import Pretraining

sys.path.append(str(REPOSITORY / "tools"))

from claim_merit import BASE, arms, before_the_map, finer, gains, same_draws  # pyright: ignore[reportMissingImports]

SETS = ("super", "sub")


def examined(subjects: list[int]) -> Examined:
    subject = np.array(subjects)
    cohort = Cohort(np.arange(len(subject)), subject, np.zeros((len(subject), 1), bool))
    return Examined(Task("", ""), ("finding",), {"test": cohort}, {})


def test_tasks_of_other_records_see_the_same_draws_of_subjects() -> None:
    one, other = same_draws([examined([7, 7, 3, 9]), examined([9, 7, 4])])
    assert one.shape == (4, other.shape[1])
    assert (one[:, 0] == 1).all()
    np.testing.assert_array_equal(one[0], one[1])
    np.testing.assert_array_equal(other[1], one[0])
    np.testing.assert_array_equal(other[0], one[3])
    assert (one[0] != one[2]).any()
    drawn = np.concatenate((one[[0, 2, 3]], other[[2]]))[:, 1:]
    assert (drawn.sum(0) == 4).all()  # of four subjects four


def test_fine_sets_less_coarse_ones() -> None:
    by_set = {"super": np.array([0.8, 0.7]), "rhythm": np.array([0.6, 0.9]), "sub": np.array([0.9, 0.9])}
    assert finer(by_set) == pytest.approx([0.2, 0.1])
    assert finer(by_set | {"factors": np.array([0.5, 0.1])}) == pytest.approx([0.0, -0.3])
    assert finer({"sub": by_set["sub"]}) == finer({"super": by_set["super"]}) == []


def test_gains_are_those_beyond_the_contrast() -> None:
    def found(more: float, ways: tuple[str, ...]) -> dict[str, list[float]]:
        return {
            f"{s}, {way}, {metric}": [0.7 + more, 0.6 + more] for s in SETS for way in ways for metric in ("auc", "f1")
        }

    probed, both = ("probe 1 %",), ("probe 1 %", "zero-shot")
    arms = {BASE: [found(0, both)] * 2, "both": [found(0.1, both)] * 2, "masked": [found(-0.2, probed)] * 2}
    shot, _, probe, _ = gains(arms, SETS).axes
    assert [text.get_text() for text in probe.get_legend().get_texts()] == ["both", "masked"]
    drawn = [container[0].get_ydata().tolist() for container in probe.containers]
    assert drawn == [pytest.approx([0.1, 0.1]), pytest.approx([-0.2, -0.2])]
    assert [len(container[0].get_ydata()) for container in shot.containers] == [2, 0]  # it reads no reports


def test_a_probe_reads_what_the_pool_s_map_is_given() -> None:
    run = arms(recipes.find(["merit_tiny"]))["masked"]
    torch.manual_seed(0)
    model, batch = Pretraining.of(run).eval(), make(4)
    pool = model.towers.pools["merit"]
    read = before_the_map(run, model).embedder.embed_batch(batch)
    assert read.shape == (4, 2 * run.towers.width)
    with torch.no_grad():
        torch.testing.assert_close(pool.map(read), Encoded(model.towers, batch, 0).embed(EcgView(), "merit"))
