"""What the tests of the synthetic corpus share: many visits, and one in which a finding is clear."""

from collections.abc import Callable
from functools import cache

import pytest

from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.data.synthetic.people import visits
from ecgfm.data.synthetic.visit import Visit


@cache
def many() -> tuple[Visit, ...]:
    return tuple(visits(seed=11, records=2500))


@pytest.fixture
def seen() -> tuple[Visit, ...]:
    return many()


@pytest.fixture
def clear() -> Callable[..., list[Visit]]:
    """Visits with one finding beyond doubt and as little else as there is; or with none."""

    def choose(finding: str | None, count: int) -> list[Visit]:
        others = [f for f in FINDINGS if f not in (finding, "sinus_rhythm")]
        candidates = [v for v in many() if finding is None or v.severity[finding] > 0.75]
        return sorted(candidates, key=lambda v: sum(max(0.0, v.severity[f] - 0.2) for f in others))[:count]

    return choose
