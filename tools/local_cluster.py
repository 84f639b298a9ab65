"""Runs a command beside a Ray cluster of its own on this machine, which asks everybody for a token and listens on the
loopback address only; stops the cluster, whatever becomes of the command, and both at SIGTERM and SIGHUP.

    python tools/local_cluster.py --cpus 2 -- ray job submit --working-dir . -- python jobs/pretrain.py ...
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import tyro

_START = 120.0  # seconds
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RAY = Path(sys.executable).with_name("ray")


class Cluster:
    """`environment` is what a process needs in order to use it."""

    def __init__(self, cpus: int = 2, store: int = 300 << 20) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short: sockets lie in it
        ports = _free_ports(6)
        self.address, self.dashboard = f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
        token = secrets.token_urlsafe(32)
        self.environment = os.environ | {
            "PATH": f"{_RAY.parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token,
            "RAY_ADDRESS": self.address,
            "RAY_API_SERVER_ADDRESS": self.dashboard,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # no machine joins, so that all is bound to the loopback address
        }
        names = ("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port")
        names += ("dashboard-agent-grpc-port", "runtime-env-agent-port")
        options = [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
        options += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--min-worker-port=0"]
        options += ["--max-worker-port=0", f"--num-cpus={cpus}", f"--object-store-memory={store}"]
        options += [f"--temp-dir={self.folder}", "--disable-usage-stats", "--block"]
        self._log = (self.folder / "start.log").open("w")
        command = [str(_RAY), "start", "--head", *options]
        without = {name: value for name, value in self.environment.items() if name != "RAY_ADDRESS"}
        self.process = subprocess.Popen(
            command, env=without, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            self._wait()
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    def _wait(self) -> None:
        end = time.monotonic() + _START
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the cluster does not start:\n{(self.folder / 'start.log').read_text()}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        token = {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{self.dashboard}/api/jobs/", headers=token)):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def processes(self, title: str = "") -> list[psutil.Process]:
        """Those of this cluster, oldest first; of all, or of those that Ray calls so ("ray::RayTrainWorker")."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):  # it ended meanwhile
                named = (process.cmdline() or [""])[0].startswith(title)
                if os.getsid(process.pid) == self.process.pid and named:
                    found.append(process)
        return sorted(found, key=lambda process: process.create_time())

    def kill(self) -> None:
        """All of its processes at once, and those that they began meanwhile."""
        while found := self.processes():
            for process in found:
                with suppress(psutil.Error):
                    process.kill()
        self.process.wait()
        self._log.close()

    def close(self) -> None:
        with _undisturbed():
            self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not break off what the first began."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def main(command: tyro.conf.Positional[tuple[str, ...]], /, cpus: int = 2, store: int = 300 << 20) -> int:
    """Ctrl-C reaches the command, and then the cluster is stopped."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    with Cluster(cpus, store) as cluster:
        try:
            running, stopped = subprocess.Popen(command, env=cluster.environment), 0
            while True:
                try:
                    return running.wait() or stopped
                except KeyboardInterrupt:  # a second one may lose what the command ended with, which then reads as 0
                    stopped = 128 + signal.SIGINT
        finally:  # by what there is, as a signal may come before the command that has begun has its name here
            for child in psutil.Process().children():
                if child.pid != cluster.process.pid:
                    child.terminate()


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=__doc__))
