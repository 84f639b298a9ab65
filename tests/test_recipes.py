import json
import pickle

import pytest

from ecgfm.recipes import find, named
from ecgfm.run import Farthest, describe, rebuild
from ecgfm.train.optim import factor
from ecgfm.train.pretraining import built


@pytest.mark.parametrize("recipe", named().values(), ids=named())
def test_a_recipe_is_a_value_that_can_be_written_down(recipe) -> None:
    run = find([recipe.__name__])
    assert run == recipe() == pickle.loads(pickle.dumps(run))
    assert json.loads(json.dumps(describe(run))) == describe(run)
    assert rebuild(json.loads(json.dumps(describe(run)))) == run
    assert built(run)
    assert run.batch % run.slices == 0
    assert run.optimizer.rates.keys() == {"ecg", "text", "heads"}
    assert recipe.__doc__


def test_the_paper_s_numbers() -> None:
    run = find(["dbeta_paper"])
    assert (run.batch, run.steps) == (128, 300_000)
    assert set(run.optimizer.rates.values()) == {5e-5}
    assert (run.optimizer.betas, run.optimizer.eps, run.optimizer.decay) == ((0.9, 0.98), 1e-6, 0.01)
    assert run.optimizer.clip is None
    shares = [factor(run.schedule, step, run.steps) for step in (0, 30_000, 149_999, 299_999)]
    assert shares == pytest.approx([0.01, 1, 1, 0.05], rel=1e-3)
    assert run.negatives == Farthest(64)
    method = run.objectives["dbeta"]
    assert (method.words, method.tokens, method.leads, method.far) == (0.25, 0.75, 0.5, 0.5)
    assert set(method.terms.values()) == {1.0}


def test_both_see_as_many_records() -> None:
    ours, paper = find(["dbeta"]), find(["dbeta_paper"])
    assert ours.batch * ours.steps == paper.batch * paper.steps


def test_methods_are_trained_as_dbeta_is() -> None:
    assert find(["ecgfm.objectives.dbeta"]) == find(["dbeta"])


def test_a_recipe_may_go_by_its_dotted_path() -> None:
    assert find(["ecgfm.recipes.dbeta.dbeta_tiny"]) == find(["dbeta_tiny"])
    with pytest.raises(ModuleNotFoundError, match=r"ecgfm\.recipes\.dbeta\.dbeta_tyni"):
        find(["ecgfm.recipes.dbeta.dbeta_tyni"])


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="no recipe and no method 'dbeta_papr': did you mean dbeta_paper"):
        find(["dbeta_papr"])
    with pytest.raises(ValueError, match="which recipe, or which methods"):
        find([])
    with pytest.raises(ValueError, match="two methods are called merit: rename a module"):
        find(["merit", "ecgfm.objectives.merit"])


def test_a_recipe_is_not_combined_and_methods_embed_by_a_pool_of_theirs() -> None:
    with pytest.raises(ValueError, match="dbeta_tiny is a recipe and stands alone"):
        find(["dbeta_tiny", "merit"])
    assert find(["merit", "ecgfm.objectives.dbeta"]).embed == "summary"
    for others in (["fingerprint"], ["crossl"], ["dense"]):  # what embeds can be examined zero-shot
        assert find([*others, "merit"]).embed == "merit"
        assert find([*others, "merit"]).aligned
        assert not find(others).aligned
    assert find(["merit"]).embed in find(["merit"]).objectives["merit"].pools
