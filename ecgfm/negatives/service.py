"""False reports as a service: a named Ray actor per stock, which every worker of every run on that stock asks.

It holds the vectors and the index, and answers by report number. Killed, it is started again by Ray, rebuilds itself
from storage, and answers what was asked meanwhile; answers are functions of the question, so they are the same ones. It
ends itself when nobody has asked for ten minutes. Whoever waits for longer than a run has patience is given an error.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
from jaxtyping import Int64
from ray.exceptions import GetTimeoutError, RayActorError

from ecgfm.negatives.stock import Ask, Stock

NAMESPACE = "ecgfm"
_SHARE = 5 / 6  # of a run's patience: the error comes before the clock ends the worker
_START = 10  # times as long may a start take (ecgfm.train.patience)
_IDLE = 600.0  # seconds, for which it holds its CPUs and its part of a GPU after the last question
_EVER = 1e8  # seconds: three years, as Ray takes no infinity
_PAUSE = 0.5  # seconds between two attempts to find the actor
_PAUSES = (_PAUSE, 2.0, 8.0, 30.0)  # seconds before a start that failed is tried again
_NEVER = ("ValueError", "FileNotFoundError")  # why it would fail again


class Service:
    """What runs in the actor."""

    def __init__(self, stock: Stock, threads: int, gpu: bool, idle: float) -> None:
        self.choice = stock.choice(threads, gpu)
        self.asked = time.monotonic()
        threading.Thread(target=self._end, args=(idle,), daemon=True).start()

    def choose(
        self, reports: Int64[np.ndarray, " B"], records: Int64[np.ndarray, " B"], seed: int, step: int
    ) -> Int64[np.ndarray, " B"]:
        self.asked = time.monotonic()
        return self.choice(reports, records, seed, step)

    def ready(self) -> None:
        self.asked = time.monotonic()

    def _end(self, idle: float) -> None:
        while (left := self.asked + idle - time.monotonic()) > 0:
            time.sleep(left)
        ray.kill(ray.get_runtime_context().current_actor)


def name(stock: Stock) -> str:
    """Of its actor. The code is part of it: after an upgrade nobody is answered by what ran before."""
    return f"negatives-{stock.key[:16]}-{_code()[:8]}"


@cache
def _code() -> str:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


class Client:
    """Asks the service of a stock, which is started where there is none. An answer may take `patience` seconds."""

    def __init__(
        self, stock: Stock, cpus: float, gpus: float = 0, patience: float = _EVER, idle: float = _IDLE
    ) -> None:
        self.patience = patience
        self._started: Any = ray.remote(Service).options(
            name=name(stock),
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            max_restarts=-1,
            max_task_retries=-1,
            num_cpus=cpus,
            num_gpus=gpus,
        )
        self._given = stock, max(1, int(cpus)), gpus > 0, idle
        try:
            self.actor: Any = self._start(time.monotonic() + _START * patience)
        except GetTimeoutError as error:
            raise TimeoutError(
                f"the service of false reports has not started for {_START * patience:g} s: see whether the cluster "
                f"has {cpus:g} CPUs and {gpus:g} GPUs left for it"
            ) from error

    def _start(self, end: float) -> Any:
        """Tried again, as what was found may just be ending, and a store may be away for a moment."""
        for pause in (*_PAUSES, None):
            actor = self._started.remote(*self._given)
            try:
                ray.get(actor.ready.remote(), timeout=max(0, end - time.monotonic()))
                return actor
            except RayActorError as error:
                reason = str(error).strip().splitlines()[-1]
                if pause is None or reason.startswith(_NEVER):
                    raise ValueError(f"the service of false reports does not start: {reason}") from error
                time.sleep(pause)

    def __call__(
        self, reports: Int64[np.ndarray, " B"], records: Int64[np.ndarray, " B"], seed: int, step: int
    ) -> Callable[[], Int64[np.ndarray, " B"]]:
        """Asked at once; what is returned waits for the answer."""
        question = reports, records, seed, step
        return partial(self._answer, question, self.actor.choose.remote(*question))

    def _answer(self, question: tuple, asked: ray.ObjectRef) -> Int64[np.ndarray, " B"]:
        """Ray asks again after a restart; of an actor that has ended, another takes the place."""
        end, cause = time.monotonic() + self.patience, None
        while (left := end - time.monotonic()) > 0:
            try:
                return np.array(ray.get(asked, timeout=left))  # a copy, as what Ray gives cannot be written to
            except GetTimeoutError as error:
                cause = error
            except RayActorError as error:
                cause = error
                time.sleep(_PAUSE)
                self.actor = self._started.remote(*self._given)
                asked = self.actor.choose.remote(*question)
        raise TimeoutError(
            f"the service of false reports has not answered for {self.patience:g} s, and the run does not go on with "
            "others: see `ray list actors`, and start the run again"
        ) from cause


def service(cpus: float, gpus: float = 0, patience: float | None = None) -> Callable[[Stock], Ask]:
    """As `ecgfm.train.feed.open_feed` takes it, for a run of that patience. The actor searches in as many threads as it
    is given CPUs, or on a GPU where it is given one, or a part of one, and faiss-gpu is installed. (Not verified:
    written without a GPU.)"""
    return lambda stock: Client(stock, cpus, gpus, _SHARE * (patience or _EVER))
