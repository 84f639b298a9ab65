"""Freezes the curves of the tiny recipes: every figure of their 20 steps, in tests/golden/. tests/test_golden.py holds
the recipes to them.

    python tools/record_golden.py                  all of them
    python tools/record_golden.py dbeta_tiny       those that a change was meant to move; its commit says why
"""

import json
import math
import tempfile
from pathlib import Path

import tiny
import torch
import tyro
from drill import Curve, curve, pretrain

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
STEPS = 20
_LOOSE = "geometry/"  # a condition number keeps no four digits from one machine to the next
TOLERANCE = 1e-4  # of a figure's largest value on the curve: what another machine may add


def train(recipe: str, words: list[str]) -> Curve:
    """The figures of each step, in one thread: sums in another order would differ in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        asked = [recipe, *words, "--steps", str(STEPS), "--cadence.save", str(STEPS), "--cadence.evaluate", str(STEPS)]
        if pretrain(asked, folder):
            raise RuntimeError(f"{recipe} was not trained to its end")
        found = curve(Path(folder))
    torch.set_num_threads(threads)
    return [{name: value for name, value in row.items() if not name.startswith(_LOOSE)} for row in found]


def moved(golden: Curve, found: Curve) -> list[str]:
    """Where a curve is not the golden one: a line for each figure, about the step at which it is farthest away."""
    if [row.keys() for row in golden] != [row.keys() for row in found]:
        return ["the rows hold other figures"]
    lines = []
    for name in dict.fromkeys(name for row in golden for name in row):
        pairs = [(row["step"], row[name], other[name]) for row, other in zip(golden, found, strict=True) if name in row]
        step, was, now = max(pairs, key=lambda pair: _apart(*pair[1:]))
        if _apart(was, now) > TOLERANCE * max(abs(was or 0.0) for _, was, _ in pairs):
            lines.append(f"{name} at step {step}: {was} -> {now}")
    return lines


def _apart(was: float | None, now: float | None) -> float:
    return math.inf if was is None or now is None or math.isnan(now) else abs(now - was)


def main(recipes: tyro.conf.Positional[tuple[str, ...]] = (*tiny.RECIPES,), /) -> None:
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        words = tiny.make(Path(folder))
        for recipe in recipes:
            lines = ",\n".join(json.dumps(row) for row in train(recipe, words))
            (GOLDEN / f"{recipe}.json").write_text(f"[\n{lines}\n]\n")
            print(f"{recipe}: the curve stands in tests/golden/{recipe}.json")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
