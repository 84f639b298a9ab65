import errno
import fcntl
import os
import signal
import threading
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from ecgfm.data.storage import Folder
from ecgfm.train import lock
from ecgfm.train.lock import ClaimedError, sole_writer


def hold(folder: str, is_local: bool) -> None:
    hasten(None, is_local)
    with sole_writer(Folder(folder)):
        Folder(folder).write("held", b"")
        time.sleep(60)


def hasten(patch: pytest.MonkeyPatch | None, is_local: bool) -> None:
    """A disk stands in for an object store where the lease is asked for: a Folder is the same to it."""
    for name, value in {"LEASE": 3.0, "BEAT": 0.2, "SETTLE": 0.1}.items():
        patch.setattr(lock, name, value) if patch else setattr(lock, name, value)
    kind = property(lambda _: is_local)
    patch.setattr(Folder, "is_local", kind) if patch else setattr(Folder, "is_local", kind)


@pytest.mark.parametrize("is_local", [True, False], ids=["disk", "object store"])
def test_a_second_start_is_refused_until_the_first_is_dead(
    is_local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch, is_local)
    folder = Folder(str(tmp_path))
    first = get_context("forkserver").Process(target=hold, args=(str(tmp_path), is_local), daemon=True)
    first.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(ClaimedError, match=f"process {first.pid} on .* is writing to"), sole_writer(folder):
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    with sole_writer(folder) as check:
        check()
    with sole_writer(folder):  # given back
        pass


def test_an_object_store_is_held_and_given_back(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LEASE": 20.0, "BEAT": 0.2, "SETTLE": 0.1}.items():
        monkeypatch.setattr(lock, name, value)
    folder = Folder(bucket.replace("/folder", "/run@2"))
    with sole_writer(folder), pytest.raises(ClaimedError, match="is writing to"), sole_writer(folder):
        pass
    assert not folder.exists("lease.json")


@pytest.mark.parametrize("found", [b'{"token": "another", "who": "process 1 on elsewhere", "beat": "0"}', b"{ torn"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lease_that_was_taken_over_or_cannot_be_read_is_held_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: bytes
) -> None:
    hasten(monkeypatch, is_local=False)
    folder = Folder(str(tmp_path))
    with sole_writer(folder) as check:
        folder.write("lease.json", found)
        time.sleep(5 * lock.BEAT)
        with pytest.raises(ClaimedError, match="could not be held"):
            check()
    assert folder.read("lease.json") == found  # it is the other's


def test_a_disk_without_locks_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    told = r"holds no locks \(Function not implemented\): mount it with -o flock, or write to an object store"
    with pytest.raises(ClaimedError, match=told), sole_writer(Folder(str(tmp_path))):
        pass


def test_a_writer_whose_store_hangs_stops_within_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is not taken for a writer again when the call comes back at last."""
    hasten(monkeypatch, is_local=False)
    monkeypatch.setattr(lock, "LEASE", 1.0)
    folder, write, hangs, back = Folder(str(tmp_path)), Folder.write, threading.Event(), threading.Event()

    def hanging(self: Folder, name: str, content: bytes) -> None:
        if hangs.is_set():
            back.wait(10)
        write(self, name, content)

    monkeypatch.setattr(Folder, "write", hanging)
    with sole_writer(folder) as check:
        time.sleep(2 * lock.LEASE)
        check()
        hangs.set()
        time.sleep(1.2 * lock.LEASE)
        with pytest.raises(ClaimedError, match="could not be held"):
            check()
        back.set()
        time.sleep(3 * lock.BEAT)
        with pytest.raises(ClaimedError, match="could not be held"):
            check()
    assert folder.exists("lease.json")  # it may be another's
