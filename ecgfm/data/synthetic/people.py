"""Who comes to be recorded, in order: a corpus of any size is the beginning of one endless corpus."""

from collections.abc import Iterator
from itertools import count

from ecgfm.data.synthetic.subject import subject
from ecgfm.data.synthetic.visit import Visit, visit


def visits(seed: int, records: int) -> Iterator[Visit]:
    """Whole subjects, all visits of each, until there are so many records or a few more."""
    seen = 0
    for index in count():
        if seen >= records:
            return
        person = subject(seed, index)
        for number in range(len(person.times)):
            yield visit(person, number)
        seen += len(person.times)


def strangers(seed: int) -> Iterator[Visit]:
    """The latest visit of each subject, for corpora that do not say who is who."""
    for index in count():
        person = subject(seed, index)
        yield visit(person, len(person.times) - 1)
