import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray

from ecgfm.data.storage import Folder, StoreError
from ecgfm.negatives.choose import Choice
from ecgfm.negatives.service import NAMESPACE, Client, name, service
from ecgfm.negatives.stock import Stock
from ecgfm.run import Band, Farthest

pytestmark = pytest.mark.ray

HOW = {"farthest": Farthest(6, "words"), "band": Band(0.0, 0.5, "words")}


def opened(how: Farthest | Band, shards: Path, home: Path) -> Iterator[Stock]:
    stock = Stock.open(how, [Folder(str(shards))], [1], Folder(str(home)))
    yield stock
    if is_up(stock):
        ray.kill(actor(stock))


@pytest.fixture(params=HOW)
def stock(request: pytest.FixtureRequest, made_shards: Path, tmp_path: Path) -> Iterator[Stock]:
    yield from opened(HOW[request.param], made_shards, tmp_path)


@pytest.fixture
def band(made_shards: Path, tmp_path: Path) -> Iterator[Stock]:
    yield from opened(Band(0.1, 0.6, "words"), made_shards, tmp_path)


def actor(stock: Stock) -> ray.actor.ActorHandle:
    return ray.get_actor(name(stock), NAMESPACE)


def is_up(stock: Stock) -> bool:
    return any(found["name"] == name(stock) for found in ray.util.list_named_actors(True))


def pid(stock: Stock) -> int:
    return ray.get(actor(stock).__ray_call__.remote(lambda service: os.getpid()))


def questions(count: int) -> list[tuple[np.ndarray, np.ndarray, int, int]]:
    """Other records in every step, some of them without a report."""
    random = np.random.default_rng(0)
    return [(random.integers(-1, 15, 16), random.integers(0, 1000, 16), 3, step) for step in range(count)]


def test_the_answers_are_those_of_this_process_also_when_it_is_killed(stock: Stock) -> None:
    """Asked by two at once, and killed between their questions."""
    choice, one, other = stock.choice(), Client(stock, 0.5), Client(stock, 0.5)
    assert one.actor == other.actor
    asked = questions(12)
    answers = [(one, other)[i % 2](*question) for i, question in enumerate(asked[:6])]
    killed = pid(stock)
    answers += [(one, other)[i % 2](*question) for i, question in enumerate(asked[6:9])]
    os.kill(killed, signal.SIGKILL)
    answers += [(one, other)[i % 2](*question) for i, question in enumerate(asked[9:])]
    for question, answer in zip(asked, answers, strict=True):
        found = answer()
        np.testing.assert_array_equal(found, choice(*question))
        assert found.flags.writeable
    assert pid(stock) != killed


def test_when_it_is_away_for_too_long_the_run_is_told(band: Stock) -> None:
    client = Client(band, 0.5)
    client.patience = 2.0
    stopped = pid(band)
    os.kill(stopped, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="has not answered for 2 s, and the run does not go on with others"):
        client(*questions(1)[0])()
    assert time.monotonic() - began < 10
    os.kill(stopped, signal.SIGCONT)
    np.testing.assert_array_equal(client(*questions(1)[0])(), band.choice()(*questions(1)[0]))


def test_it_ends_when_nobody_asks_and_another_takes_its_place(band: Stock) -> None:
    client = Client(band, 0.5, idle=2.0)
    first = pid(band)
    end = time.monotonic() + 60
    while is_up(band) and time.monotonic() < end:
        time.sleep(0.1)
    assert not is_up(band)
    np.testing.assert_array_equal(client(*questions(1)[0])(), band.choice()(*questions(1)[0]))
    assert pid(band) != first


def test_what_it_cannot_start_from_is_said_at_once(band: Stock) -> None:
    with pytest.raises(ValueError, match=r"does not start: .* have changed since the run was started"):
        Client(replace(band, key="of other vectors"), 0.5)


def test_its_error_comes_before_the_clock_of_the_run(band: Stock) -> None:
    assert [service(0.5, 0, patience)(band).patience for patience in (60.0, 120.0)] == [50.0, 100.0]


def test_other_code_is_not_answered_by_what_ran_before(band: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Client(band, 0.5).actor
    monkeypatch.setattr("ecgfm.negatives.service._code", lambda: "f" * 64)
    after = Client(band, 0.5).actor
    assert before != after
    ray.kill(before)  # the other is the fixture's


def test_a_start_that_met_a_store_s_error_is_tried_again(band: Stock, tmp_path: Path) -> None:
    met = tmp_path / "met"

    class Stumbling(Stock):
        def choice(self, threads: int = 1, gpu: bool = False) -> Choice:
            if not met.exists():
                met.touch()
                raise StoreError("s3://bucket cannot be reached")
            return Stock.choice(self, threads, gpu)

    stumbling = Stumbling(**vars(band))
    np.testing.assert_array_equal(Client(stumbling, 0.5)(*questions(1)[0])(), band.choice()(*questions(1)[0]))
    assert met.exists()
