"""A process that stands still is ended, so that the others, and whoever waits for them all, learn of it.

When a rank hangs, those that wait for it in a collective hang as well. Each of them keeps a clock of its own, set anew
at every step, and the first to run out says where all threads of its process stand and ends it; from a dead process
Ray Train and torchrun end the rest. The clock is the interpreter's (faulthandler): it needs no lock that a hung thread
could hold.
"""

import faulthandler
from types import TracebackType

LONGER = 10  # times as long may a start, a save or an evaluation take
_START = 600.0  # seconds that processes may take to start and to find each other
_FOR_EVER = 30 * 86_400.0  # a group of processes has to have a limit


def group_timeout(seconds: float | None) -> float:
    """How long the processes of a group wait for each other: no less than the first may take by itself."""
    return max(_START, LONGER * seconds) if seconds else _FOR_EVER


class Patience:
    """How long the process may stand still. Without `seconds`, for ever."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds

    def __enter__(self) -> "Patience":
        self.long()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.seconds:
            faulthandler.cancel_dump_traceback_later()

    def short(self) -> None:
        """A step begins: it is over soon."""
        self._set(1)

    def long(self) -> None:
        self._set(LONGER)

    def _set(self, times: int) -> None:
        if self.seconds:
            faulthandler.dump_traceback_later(self.seconds * times, exit=True, file=2)
