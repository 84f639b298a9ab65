"""What the tests of the synthetic corpus share: many visits, and those in which a finding is clear."""

from collections.abc import Callable

import pytest

from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.data.synthetic.people import visits
from ecgfm.data.synthetic.visit import Visit


@pytest.fixture(scope="session")
def seen() -> tuple[Visit, ...]:
    return tuple(visits(seed=11, records=2500))


@pytest.fixture(scope="session")
def clear(seen: tuple[Visit, ...]) -> Callable[..., list[Visit]]:
    """Visits with one finding beyond doubt and as little else as there is; or with none."""

    def choose(finding: str | None, count: int) -> list[Visit]:
        others = [f for f in FINDINGS if f not in (finding, "sinus_rhythm")]
        candidates = [v for v in seen if finding is None or v.severity[finding] > 0.75]
        return sorted(candidates, key=lambda v: sum(max(0.0, v.severity[f] - 0.2) for f in others))[:count]

    return choose
