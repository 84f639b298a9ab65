import pytest

from ecgfm import recipes
from tools.count_geometry import share

RECIPES = [name for name in recipes.named() if not name.endswith("_tiny")]


@pytest.mark.parametrize("recipe", RECIPES)
def test_watching_costs_less_than_a_hundredth_of_training(recipe: str, text_model: str) -> None:
    assert 0.0005 < share(recipes.find([recipe]), text_model) < 0.01
