"""Whenever the tool is told to end, no process of its cluster is left, and none of the command."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from conftest import REPOSITORY

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TOOL = REPOSITORY / "tools" / "local_cluster.py"
FOLDER = "--temp-dir="


def _hears() -> None:
    """Ctrl-C, also where the tests run in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes(word: str) -> list[int]:
    """Those that live and name it in their command: of a cluster, its folder."""
    alive = (p for p in psutil.process_iter(["cmdline", "status"]) if p.info["status"] != psutil.STATUS_ZOMBIE)
    return [p.pid for p in alive if any(word in part for part in p.info["cmdline"] or ())]


def folder(tool: subprocess.Popen) -> str:
    """Of its cluster, or nothing."""
    with suppress(psutil.Error):
        words = [word for child in psutil.Process(tool.pid).children() for word in child.cmdline()]
        return next((word.removeprefix(FOLDER) for word in words if word.startswith(FOLDER)), "")
    return ""


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("starting", signal.SIGINT),
        ("starting", signal.SIGTERM),
        ("up", signal.SIGINT),
        ("up", signal.SIGTERM),
        ("up", signal.SIGHUP),
    ],
)
def test_no_process_is_left(when: str, told: signal.Signals, tmp_path: Path) -> None:
    up = tmp_path / "up"
    command = [sys.executable, str(TOOL), "--", "bash", "-c", f"exec -a {up} sleep 100"]
    tool = subprocess.Popen(
        command, start_new_session=True, preexec_fn=_hears
    )  # as on a terminal: Ctrl-C reaches all of its group
    until(lambda: folder(tool))
    cluster = folder(tool)
    time.sleep(1.0)
    until(lambda: when == "starting" or [pid for pid in processes(str(up)) if pid != tool.pid])
    if told == signal.SIGINT:
        os.killpg(tool.pid, told)
        time.sleep(0.1)
        os.killpg(tool.pid, told)  # impatiently
    else:
        tool.send_signal(told)
    assert tool.wait(30) != 0
    assert processes(cluster) == []
    assert not Path(cluster).exists()
    until(lambda: not processes(str(up)))


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)  # so that a command is met as it begins, too
