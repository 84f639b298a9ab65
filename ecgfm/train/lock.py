"""One process at a time writes to a folder.

On a disk the kernel holds the lock (flock) and drops it when the process ends, however it ends. Shared disks hold it
across machines where they support flock; Lustre wants the mount option for it.

An object store has no locks. There a small object names the writer, who renews it every few seconds. A start that finds
one watches it: if it changes, somebody is alive and the start is refused; if it does not change for `LEASE` seconds,
its writer is dead (a start after kill -9 waits that long) and it is taken over. Two starts in the same moment both
write their name and read it back after `SETTLE` seconds: the last one holds it. A writer that could not renew for
longer than the lease, be it that its call of the store hangs, stops before its next step, as another may hold the
folder by then.
"""

import errno
import fcntl
import json
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ecgfm.data.storage import Folder

LEASE, BEAT, SETTLE = 30.0, 5.0, 2.0  # seconds
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class ClaimedError(RuntimeError):
    """The folder is another's."""


@contextmanager
def sole_writer(folder: Folder) -> Iterator[Callable[[], None]]:
    """Hold the folder until the block ends. Gives a function that raises when it is no longer held."""
    with _locked(folder) if folder.is_local else _leased(folder) as check:
        yield check


@contextmanager
def _locked(folder: Folder) -> Iterator[Callable[[], None]]:
    path = Path(folder.path("lock"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _refused(folder, file.read()) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise ClaimedError(
                f"{folder} lies on a disk that holds no locks ({error.strerror}): mount it with -o flock, or write to "
                "an object store"
            ) from error
        file.truncate(0)
        file.write(_myself())
        file.flush()
        yield lambda: None


@contextmanager
def _leased(folder: Folder) -> Iterator[Callable[[], None]]:
    lease = _Lease(folder)
    lease.take()
    thread = threading.Thread(target=lease.keep, name="lease", daemon=True)
    thread.start()
    try:
        yield lease.check
    finally:
        lease.done.set()
        thread.join(LEASE)  # it may hang
        if lease.is_held:
            folder.delete("lease.json")


class _Lease:
    def __init__(self, folder: Folder) -> None:
        self.folder, self.token = folder, uuid.uuid4().hex
        self.done, self.lost = threading.Event(), threading.Event()
        self.renewed = -math.inf  # when the last renewal that came through began: others see it no earlier

    @property
    def is_held(self) -> bool:
        return not self.lost.is_set() and time.monotonic() - self.renewed < LEASE

    def take(self) -> None:
        seen, since = self._read(), time.monotonic()
        while seen and time.monotonic() - since < LEASE:
            time.sleep(BEAT / 2)
            if (now := self._read()) and now != seen:
                raise _refused(self.folder, now["who"])
            seen = now
        began = time.monotonic()
        self._renew()
        self.renewed = began
        time.sleep(SETTLE)
        if (now := self._read()).get("token") != self.token:
            raise _refused(self.folder, now.get("who", ""))

    def keep(self) -> None:
        try:
            while not self.done.wait(BEAT) and self.is_held:
                with suppress(OSError):  # the store may be away for a while
                    self._beat()
        except BaseException:
            self.lost.set()
            raise

    def _beat(self) -> None:
        began = time.monotonic()
        if self._read().get("token") != self.token:
            self.lost.set()
            return
        self._renew()
        if self.is_held:  # else it came too late, and another may have taken over meanwhile
            self.renewed = began

    def check(self) -> None:
        if not self.is_held:
            raise ClaimedError(
                f"{self.folder} could not be held: another process took it, or the store was away too long"
            )

    def _read(self) -> dict[str, str]:
        return json.loads(self.folder.read("lease.json")) if self.folder.exists("lease.json") else {}

    def _renew(self) -> None:
        beat = {"token": self.token, "who": _myself(), "beat": str(time.time())}
        # always as long: a reader asks the store for the length first, and may be overtaken by the next beat
        self.folder.write("lease.json", json.dumps(beat).ljust(512).encode())


def _myself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _refused(folder: Folder, who: str) -> ClaimedError:
    return ClaimedError(
        f"{who or 'another process'} is writing to {folder}: wait for it, stop it, or start under another name"
    )
