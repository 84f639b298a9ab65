"""Every tiny recipe in one process and in two, straight and killed: a run that was killed and started again makes the
curve of one that was not, bit for bit, and two processes make the curve of one, within rounding.

    python tools/matrix.py --to demo/matrix --record jobs/records/matrix@2
    python tools/matrix.py dbeta_tiny --kills 1 --to demo/matrix
"""

from functools import partial
from pathlib import Path
from typing import Any

import tiny
import tyro
from drill import Curve, curve, drill, pretrain
from record import write

STEPS = 12
ROUNDING = 2e-3  # of a figure's largest value: what sums in another order grow to in so many steps


def hold(recipe: str, words: list[str], to: Path, kills: int) -> dict[str, Any]:
    """A row of the matrix; raises where a curve is another."""
    cadence = ("--steps", str(STEPS), "--cadence.save", "3", "--cadence.evaluate", "6")
    start = partial(pretrain, [recipe, *words, *cadence])
    one, two = (drill(start, to / f"{n} processes", kills, workers=n) for n in (1, 2))
    apart = farthest(*(curve(to / f"{n} processes" / "straight") for n in (1, 2)))
    if not apart <= ROUNDING:
        raise AssertionError(f"{recipe}: two processes are {apart:.1e} away from one")
    return {"recipe": recipe, "kills of one": one.kills, "kills of two": two.kills, "one against two": apart}


def farthest(one: Curve, other: Curve) -> float:
    """The largest difference of two curves, each figure as a share of its largest value."""
    names = {name for row in one for name in row} - {"step"}
    sizes = {name: max(abs(row[name] or 0) for row in one if name in row) for name in names}
    pairs = [(row[n], match[n], sizes[n]) for row, match in zip(one, other, strict=True) for n in row.keys() & names]
    return max(abs((now or 0) - (was or 0)) / size for was, now, size in pairs if size)


def main(
    recipes: tyro.conf.Positional[tuple[str, ...]] = (*tiny.RECIPES,),
    /,
    *,
    to: Path,
    kills: int = 3,
    record: Path | None = None,
) -> None:
    words = tiny.make(to / "data")
    rows = []
    for recipe in recipes:
        rows.append(hold(recipe, words, to / recipe, kills))
        print(rows[-1], flush=True)
    if record:
        said = (
            f"In one process and in two, each recipe makes the same {STEPS} steps when it is killed with SIGKILL and "
            "started again, every figure bit for bit; and two processes make the curve of one, within rounding"
        )
        write(record, "Recipes, processes, kills", said, rows)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
