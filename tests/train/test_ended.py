"""What a launch says and its exit code follow from what its workers raised."""

import os
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from ranks import run as in_processes
from ray.exceptions import ActorDiedError, RayActorError, RaySystemError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)

from ecgfm.train.ended import START, BrokenError, LostError, broken, is_lost, not_led, said
from ecgfm.train.loop import StoppedError

GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:3423"
DIED = WorkerHealthCheckFailedError("a worker health check failed", failure=ActorDiedError())


def raised(break_down: Callable[[], object]) -> BrokenError:
    """By a worker whose code breaks down."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        break_down()
    return broken(1, caught.value)


def test_what_says_what_to_do_is_heard_before_its_consequences() -> None:
    stopped = StoppedError("step 3: not finite")
    assert said({0: RuntimeError(GLOO), 1: stopped}) is stopped
    assert said({0: DIED, 1: stopped}) is stopped
    bug = BrokenError("worker 1 failed with KeyError")
    assert said({0: RuntimeError(GLOO), 1: bug}) is bug
    late = said({0: TimeoutError("the service of false reports has not answered"), 1: RuntimeError(GLOO)})
    assert isinstance(late, LostError)
    assert "service" in str(late)


@pytest.mark.parametrize(
    "failures",
    [
        {1: DIED},
        {1: WorkerHealthCheckTimeoutError("hangs")},
        {1: dist.DistBackendError("NCCL communicator was aborted")},
        {1: RuntimeError(GLOO)},
        {0: RuntimeError(GLOO), 1: DIED},
        {0: BrokenError("worker 0 failed with RuntimeError"), 1: DIED},  # as a consequence
    ],
)
def test_after_a_death_the_same_command_goes_on(failures: dict[int, Exception]) -> None:
    lost = said(failures)
    assert isinstance(lost, LostError)
    assert "the same command goes on" in str(lost)
    assert f"worker {max(failures)} was lost" in str(lost)


def test_a_bug_is_told_by_its_place_and_not_by_its_text() -> None:
    bug = raised(lambda: {}["a path that nobody should read"])
    assert "worker 1 failed with KeyError at tests/train/test_ended.py:" in str(bug)
    inside = raised(lambda: torch.nn.Linear(2, 3)(torch.zeros(5)))
    assert "RuntimeError" in str(inside)
    assert "test_ended.py:" in str(inside)
    for error in (bug, inside):
        assert "nobody" not in str(error)
        assert said({1: error}) is error


def test_what_takes_too_much_memory_is_told_what_takes_less() -> None:
    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert "more workers, a higher --resources.stage or bf16" in str(raised(full))


def test_an_error_that_cannot_be_read_is_no_death() -> None:
    unread = WorkerHealthCheckFailedError("", failure=RaySystemError("a text that nobody should read"))
    found = said({1: unread})
    assert isinstance(found, BrokenError)
    assert "nobody" not in str(found)


def test_what_kept_the_workers_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(START, "600")
    none = not_led(WorkerGroupStartupTimeoutError(8))
    assert isinstance(none, LostError)
    assert "no room for 8 workers within 600 s" in str(none)
    assert isinstance(not_led(RayActorError()), LostError)
    assert isinstance(not_led(KeyError("x")), BrokenError)


def test_who_waits_for_a_dead_process_knows_it() -> None:
    """The text that is looked for is gloo's, as torch gives it."""
    with pytest.raises(FileNotFoundError, match=r"0\.pt"):  # what the first would have returned
        in_processes(2, dies_or_waits)


def dies_or_waits() -> None:
    if dist.get_rank() == 0:
        os._exit(0)
    with pytest.raises(RuntimeError) as caught:
        dist.all_reduce(torch.zeros(1))
    assert is_lost(caught.value)
