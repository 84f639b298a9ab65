import numpy as np
import pytest

from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.data.synthetic.subject import Subject, subject
from ecgfm.data.synthetic.visit import Visit, visit


@pytest.fixture(scope="module")
def developing() -> list[Subject]:
    return [person for index in range(3000) if (person := subject(2, index)).onset]


def of(people: list[Subject], finding: str, low: float, high: float) -> list[Visit]:
    """Their visits from `low` to `high` years after the onset of the finding."""
    found = [(person, person.onset[finding]) for person in people if finding in person.onset]
    return [
        visit(person, number)
        for person, onset in found
        for number in range(len(person.times))
        if low <= person.years(number) - onset < high
    ]


def test_a_visit_is_a_function_of_subject_and_number():
    person = subject(2, 8)
    assert visit(person, 0) == visit(subject(2, 8), 0)


def test_every_finding_is_there_and_none_is_everywhere(seen):
    for finding in FINDINGS:
        assert 0.015 < np.mean([v.present[finding] for v in seen]) < 0.9, finding


def test_severities_and_intervals_agree(seen):
    for v in seen:
        assert set(v.severity) == set(v.present) == set(FINDINGS)
        assert all(0 <= s <= 1 for s in v.severity.values())
        if v.severity["first_degree_av_block"] > 0.6:
            assert v.pr > 200
        if max(v.severity["lbbb"], v.severity["rbbb"]) > 0.55:
            assert v.qrs > 120


def test_subjects_stay_themselves(seen):
    """Visits of a subject are more alike than visits of different ones, and yet they differ."""
    axis: dict[int, list[float]] = {}
    for v in seen:
        axis.setdefault(v.subject.index, []).append(v.axis)
    within = np.mean([np.std(a) for a in axis.values() if len(a) > 3])
    assert 2 < within < 0.5 * np.std([a[0] for a in axis.values()])


def test_fibrillation_comes_with_early_signs(developing):
    finding = "atrial_fibrillation"
    long_before, shortly, after = (of(developing, finding, *years) for years in ((-99, -2), (-0.5, 0), (0, 99)))
    rate = [np.mean([v.present[finding] for v in group]) for group in (long_before, shortly, after)]
    assert max(rate[:2]) < 0.1
    assert rate[2] > 0.5
    atrium = [np.mean([v.left_atrium for v in group]) for group in (long_before, shortly)]
    early = [np.mean([v.present["pac"] for v in group]) for group in (long_before, shortly)]
    assert atrium[1] > atrium[0] + 0.2
    assert early[1] > early[0] + 0.15


@pytest.mark.parametrize("finding", ["lbbb", "rbbb"])
def test_a_block_widens_before_it_is_complete(developing, finding):
    long_before, shortly, after = (of(developing, finding, *years) for years in ((-99, -2), (-0.4, 0), (0.5, 99)))
    width = [np.median([v.conducted_qrs for v in group]) for group in (long_before, shortly, after)]
    assert width[0] + 5 < width[1] < width[2] - 10
    assert np.mean([v.present[finding] for v in long_before]) < 0.1
    assert np.mean([v.present[finding] for v in after]) > 0.7
