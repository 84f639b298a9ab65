"""Errors of what Ray Data runs, as they were raised.

Ray Data hides an error of a function that it maps behind one of its own; asked for the original
(`raise_original_map_exception`), it writes advice about itself into the text. So an error travels inside another.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class Carrier(Exception):
    """What Ray Data may write into. It takes no arguments, as each process that it goes through makes it again."""

    error: Exception


@contextmanager
def sending() -> Iterator[None]:
    """In the task."""
    try:
        yield
    except Exception as error:
        carrier = Carrier()
        carrier.error = error
        raise carrier from error


@contextmanager
def receiving() -> Iterator[None]:
    """Where the rows arrive."""
    try:
        yield
    except Carrier as carrier:
        raise carrier.error from None
