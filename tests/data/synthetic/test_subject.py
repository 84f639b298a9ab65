import numpy as np

from ecgfm.data.synthetic.subject import MOST_VISITS, subject

SUBJECTS = [subject(5, index) for index in range(2500)]


def test_a_subject_is_a_function_of_seed_and_index():
    assert subject(5, 77) == SUBJECTS[77]
    assert subject(6, 77) != SUBJECTS[77]


def test_visits_are_as_many_as_in_the_real_corpus():
    count = np.array([len(person.times) for person in SUBJECTS])
    assert np.median(count) == 2
    assert 4 < count.mean() < 6
    assert 60 < count.max() <= MOST_VISITS


def test_visits_are_in_order_of_time():
    assert all(list(person.times) == sorted(set(person.times)) for person in SUBJECTS)


def test_findings_develop_only_in_subjects_who_are_followed_and_do_not_have_them():
    developing = [person for person in SUBJECTS if person.onset]
    assert 0.02 < len(developing) / len(SUBJECTS) < 0.2
    for person in developing:
        ((finding, onset),) = person.onset.items()
        assert 0 < onset < person.years(len(person.times) - 1)
        assert person.chronic[finding] < 0.3
