import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ranks import run as in_processes
from toy import BATCH, RUN, curve, engine, start, stream, world_batch

from ecgfm.batch import Batch
from ecgfm.data.plan import Position
from ecgfm.data.storage import Folder
from ecgfm.run import Resources, override
from ecgfm.train.checkpoint import CheckpointError, Checkpoints, newest, steps
from ecgfm.train.engine import Engine
from ecgfm.train.lock import ClaimedError
from ecgfm.train.loop import OpenStream, Origin, StoppedError, Watcher, restore, train
from ecgfm.train.patience import Patience


class StopError(Exception):
    pass


def stopping(at: int) -> OpenStream:
    """A stream that breaks when batch `at` is asked for."""

    def open_stream(position: Position, count: int) -> Iterator[tuple[Batch, Position]]:
        for batch, after in stream(position):
            if after.batch > at:
                raise StopError
            yield batch, after

    return open_stream


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    start(folder)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found = newest(Folder(str(folder)))
    assert found is not None
    return found[1]["model"]


@pytest.mark.parametrize("at", [0, 3, 5, 17, 29])
def test_stopped_and_started_again_the_curve_is_the_same(at: int, straight: Path, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        start(tmp_path, open_stream=stopping(at))
    start(tmp_path)
    assert curve(tmp_path) == curve(straight)
    assert all(torch.equal(weights(tmp_path)[name], tensor) for name, tensor in weights(straight).items())
    assert [launch["step"] for launch in json.loads((tmp_path / "run.json").read_text())["launches"]] == [
        0,
        at // 5 * 5,
    ]


def test_the_stream_is_opened_where_the_run_stands(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        start(tmp_path, open_stream=stopping(12))
    asked = []
    start(tmp_path, open_stream=lambda position, count: (asked.append((position, count)), stream(position))[1])
    assert asked == [(Position(10), 20)]


def test_a_finished_run_is_left_alone(straight: Path) -> None:
    before = {path: path.read_bytes() for path in straight.rglob("*") if path.is_file() and path.name != "lock"}
    start(straight)
    assert {path: path.read_bytes() for path in before} == before


def test_another_recipe_does_not_touch_the_folder(straight: Path) -> None:
    before = (straight / "metrics.jsonl").read_bytes()
    with pytest.raises(ClaimedError, match=r"steps: 30 -> 31"):
        start(straight, replace(RUN, steps=31))
    assert (straight / "metrics.jsonl").read_bytes() == before


def test_damage_costs_the_steps_since_the_one_before(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        start(tmp_path, open_stream=stopping(13))
    model = tmp_path / "checkpoints" / "00000010" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-3])
    start(tmp_path)
    assert curve(tmp_path) == curve(straight)
    assert [launch["step"] for launch in json.loads((tmp_path / "run.json").read_text())["launches"]] == [0, 5]


def test_a_failed_save_stops_the_run_and_costs_nothing(straight: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "checkpoints" / "00000015"

    def open_stream(position: Position, count: int) -> Iterator[tuple[Batch, Position]]:
        for batch, after in stream(position):
            if after.batch == 13:
                blocked.write_text("a file where a folder should be")
            yield batch, after

    with pytest.raises(CheckpointError, match=r"checkpoint 15 cannot be written .* checkpoint 10 is whole"):
        start(tmp_path, open_stream=open_stream)
    blocked.unlink()
    start(tmp_path)
    assert curve(tmp_path) == curve(straight)


def test_the_best_by_what_is_watched_is_kept(straight: Path) -> None:
    rows = [json.loads(line) for line in (straight / "metrics.jsonl").read_text().splitlines()]
    losses = {row["step"]: row["held-out/loss"] for row in rows if "held-out/loss" in row}
    assert list(losses) == [10, 20, 30]
    assert set(steps(Folder(str(straight)))) == {25, 30, min(losses, key=losses.__getitem__)}
    assert all(row["time/watch/held-out"] > 0 for row in rows if "held-out/loss" in row)


def test_watchers_see_the_model_at_rest(tmp_path: Path) -> None:
    modes = []

    def watcher(step: int, model: torch.nn.Module) -> dict[str, float]:
        modes.append((step, model.training, torch.is_grad_enabled()))
        return {"loss": 1.0}

    made = engine()
    run = replace(RUN, steps=20)
    train(
        run,
        made,
        lambda position, _: stream(position),
        Folder(str(tmp_path)),
        {"held-out": watcher},
        resources=Resources(),
        inputs={},
    )
    assert modes == [(10, False, False), (20, False, False)]
    assert made.model.training


def test_a_watcher_that_fails_costs_no_steps(tmp_path: Path) -> None:
    def fails(step: int, model: torch.nn.Module) -> dict[str, float]:
        raise KeyError("label")

    def run(folder: Path, watchers: dict[str, Watcher]) -> None:
        home = Folder(str(folder))
        train(RUN, engine(), lambda position, _: stream(position), home, watchers, resources=Resources(), inputs={})

    with pytest.raises(KeyError, match="label"):
        run(tmp_path / "fails", {"held-out": fails})
    with pytest.raises(ValueError, match=r"--cadence\.best: no watcher finds 'held-out/loss'; there are other/area"):
        run(tmp_path / "named", {"other": lambda step, model: {"area": 1.0}})
    for name in ("fails", "named"):
        assert steps(Folder(str(tmp_path / name))) == [5, 10]


def test_a_watcher_that_fails_in_one_process_has_no_other_wait_for_it(tmp_path: Path) -> None:
    """Whatever the error's type: to save, all would have to take part, and the others know nothing of it."""
    assert in_processes(2, fails_alone, tmp_path) == [2, 1]  # states asked for: at steps 5 and 10, and at 5
    assert steps(Folder(str(tmp_path))) == [5, 10]


def fails_alone(folder: Path) -> int:
    made, asked = engine(dropout=0), []
    state, made.agree = made.state, lambda value: value  # the first would wait for the second, which has ended
    made.state = lambda: asked.append(1) or state()

    def sees(step: int, model: torch.nn.Module) -> dict[str, float]:
        if made.rank == 1:
            raise ValueError("a damaged shard")
        return {"loss": 1.0}

    home, watchers = Folder(str(folder)), {"held-out": sees}
    with pytest.raises(ValueError, match="a damaged shard") if made.rank else nullcontext():
        train(
            replace(RUN, steps=10),
            made,
            lambda position, _: parted(made, position, 10),
            home,
            watchers,
            resources=Resources(),
            inputs={},
        )
    return len(asked)


@pytest.mark.slow
def test_what_is_saved_before_an_error_is_written_before_any_process_ends(tmp_path: Path) -> None:
    assert in_processes(2, stops_slowly, tmp_path)[1] == [5, 7]


def stops_slowly(folder: Path) -> list[int]:
    """A write takes seconds, and the process that does not write is the first to end."""
    made, write = engine(dropout=0), Folder.write

    def slow(home: Folder, name: str, content: bytes) -> None:
        time.sleep(2.0 if name.endswith("model.safetensors") else 0.0)
        write(home, name, content)

    def open_stream(position: Position, count: int) -> Iterator[tuple[Batch, Position]]:
        for batch, after in parted(made, position, 30):
            yield (replace(batch, scale=batch.scale * float("nan")) if after.batch == 8 else batch), after

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Folder, "write", slow)
        with pytest.raises(StoppedError):
            start(folder, open_stream=open_stream, made=made)
    return steps(Folder(str(folder)))


def parted(made: Engine, position: Position, stop: int) -> Iterator[tuple[Batch, Position]]:
    part = slice(made.rank * BATCH // 2, (made.rank + 1) * BATCH // 2)
    for index in range(position.batch, stop):
        yield world_batch(index)[part], Position(index + 1)


def test_a_non_finite_step_is_saved_and_named(tmp_path: Path) -> None:
    def open_stream(position: Position, count: int) -> Iterator[tuple[Batch, Position]]:
        for batch, after in stream(position):
            if after.batch == 8:
                scale = batch.scale.clone()
                scale[3] = float("nan")
                batch = replace(batch, scale=scale)
            yield batch, after

    with pytest.raises(StoppedError, match=r"step 7, world batch 7: .*toy/copy.* through made-up shard 7 row 3\."):
        start(tmp_path, open_stream=open_stream)
    assert steps(Folder(str(tmp_path))) == [5, 7]
    assert curve(tmp_path)[-1]["step"] == 7
    start(tmp_path)  # the record was mended: it goes on from there
    assert steps(Folder(str(tmp_path)))[-1] == 30


def test_a_branch_takes_all_of_another_run(straight: Path, tmp_path: Path) -> None:
    other = override(RUN, {"optimizer.rates.heads": 1e-3, "steps": 40})
    made = engine(run=other)
    place = restore(other, made, Folder(str(tmp_path)), Origin(Folder(str(straight)), 25), {})
    assert (place.step, place.position) == (25, Position(25))
    assert made.optimizer.param_groups[-1]["rate"] == 1e-3
    assert float(made.state()["optimizer"]["heads.copy.weight/step"]) == 25
    again = restore(replace(other, batch=16), made, Folder(str(tmp_path)), Origin(Folder(str(straight))), {})
    assert (again.step, again.position) == (30, Position(0))  # batch 30 of that run is no batch of this one


def test_a_branch_begins_in_a_folder_of_its_own(straight: Path, tmp_path: Path) -> None:
    origin = Origin(Folder(str(straight)), 25)
    start(tmp_path, replace(RUN, steps=40), origin=origin)
    assert [row["step"] for row in curve(tmp_path)][:2] == [26, 27]
    assert json.loads((tmp_path / "run.json").read_text())["launches"][0]["from"] == f"{straight}@25"
    start(tmp_path, replace(RUN, steps=40), origin=Origin(Folder("nowhere")))  # its own checkpoint comes first


def test_a_branch_may_take_the_towers_only(straight: Path, tmp_path: Path) -> None:
    made, fresh = engine(), engine()
    place = restore(RUN, made, Folder(str(tmp_path)), Origin(Folder(str(straight)), None, towers_only=True), {})
    assert (place.step, place.position) == (0, Position(0))
    for name, tensor in made.state()["model"].items():
        like = weights(straight) if name.startswith("towers.") else fresh.state()["model"]
        assert torch.equal(tensor, like[name]), name
    assert not any(t.any() for t in made.state()["optimizer"].values())


def test_what_an_origin_lacks_is_said(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no checkpoint 7: it has .*25, 30"):
        start(tmp_path, replace(RUN, steps=40), origin=Origin(Folder(str(straight)), 7))
    with pytest.raises(FileNotFoundError, match="holds no checkpoint to begin from"):
        start(tmp_path, replace(RUN, steps=40), origin=Origin(Folder(str(tmp_path / "empty"))))


def test_a_branch_from_the_last_step_is_refused(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"@25 stands at step 25 and this recipe makes 20: raise --steps, .*@STEP"):
        start(tmp_path, replace(RUN, steps=20), origin=Origin(Folder(str(straight)), 25))
    with pytest.raises(ValueError, match=r"straight\d* stands at step 30 and this recipe makes 30"):
        start(tmp_path, origin=Origin(Folder(str(straight))))
    assert not (tmp_path / "run.json").exists()
    start(tmp_path, replace(RUN, steps=5), origin=Origin(Folder(str(straight)), None, towers_only=True))
    assert steps(Folder(str(tmp_path))) == [5]


def test_an_origin_is_a_folder_or_a_folder_at_a_step(straight: Path, tmp_path: Path) -> None:
    assert Origin.parse(f"{straight}@25") == Origin(Folder(str(straight)), 25)
    assert Origin.parse(str(straight), towers_only=True) == Origin(Folder(str(straight)), None, True)
    versioned = tmp_path / "toy@1"
    start(versioned, replace(RUN, steps=5))
    assert Origin.parse(str(versioned)) == Origin(Folder(str(versioned)), None)
    assert Origin.parse(f"{versioned}@5") == Origin(Folder(str(versioned)), 5)


def test_on_another_number_of_processes_it_goes_on(tmp_path: Path) -> None:
    """Two processes make the first half (of the same schedule), one the second: the curve of one process throughout."""
    one, mixed = tmp_path / "one", tmp_path / "mixed"
    start(one, dropout=0)
    in_processes(2, half, mixed)
    assert steps(Folder(str(mixed)))[-1] == 15
    start(mixed, dropout=0)
    for ours, theirs in zip(curve(mixed), curve(one), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert (mixed / "run.json").read_text().count('"workers": 2') == 1


def half(folder: Path) -> None:
    made = engine(dropout=0)

    def open_stream(position: Position, count: int) -> Iterator[tuple[Batch, Position]]:
        yield from parted(made, position, 18)
        raise StopError

    try:
        start(folder, open_stream=open_stream, made=made)
    except StopError:
        return


@pytest.mark.slow
def test_a_save_may_take_longer_than_a_step(tmp_path: Path) -> None:
    in_processes(2, saves_slowly, tmp_path)
    assert steps(Folder(str(tmp_path)))[-1] == 6


def saves_slowly(folder: Path) -> None:
    save = Checkpoints.save

    def slow(*given) -> None:
        time.sleep(5.0)
        save(*given)

    with pytest.MonkeyPatch.context() as patch, Patience(2.0) as clock:
        patch.setattr(Checkpoints, "save", slow)
        start(folder, replace(RUN, steps=6), made=engine(dropout=0), clock=clock)
