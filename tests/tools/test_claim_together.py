"""Steps of equal cost: what is cheaper alone than together makes more of them."""

import sys

from conftest import REPOSITORY

from ecgfm import recipes
from ecgfm.run import override

sys.path.append(str(REPOSITORY / "tools"))

from claim_together import TOGETHER, Claim, as_dear, cost  # pyright: ignore[reportMissingImports]
from claims import all_sized  # pyright: ignore[reportMissingImports]


def test_steps_of_equal_cost(text_model: str) -> None:
    claim = Claim(heads=2, steps=1000)
    made = {
        name: override(recipes.find([f"{name}_tiny"]), {"towers.text.name": text_model})
        for name in (TOGETHER, "dbeta", "fingerprint")
    }
    dbeta, fingerprint = (as_dear(claim, made[name], made[TOGETHER]) for name in ("dbeta", "fingerprint"))
    assert claim.steps < dbeta < fingerprint  # which reads no text
    runs = all_sized(made, claim)
    assert abs(dbeta * cost(runs["dbeta"]) / (claim.steps * cost(runs[TOGETHER])) - 1) < 1e-3
