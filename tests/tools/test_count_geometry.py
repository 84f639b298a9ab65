from ecgfm import recipes
from tools.count_geometry import share


def test_watching_costs_less_than_a_hundredth_of_training(text_model: str) -> None:
    """Of the recipes the one whose step costs least beside a look: it drops patches and reads no reports."""
    assert 0.001 < share(recipes.find(["fingerprint"]), text_model) < 0.01
