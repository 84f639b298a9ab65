import errno
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ecgfm.data.plan import Position
from ecgfm.data.storage import Folder
from ecgfm.run import Cadence
from ecgfm.train.checkpoint import CheckpointError, Checkpoints, DamagedError, Place, load, newest, steps

CADENCE = Cadence(keep_last=2, best="held-out/loss")


def state(step: int) -> dict[str, dict[str, torch.Tensor]]:
    return {
        "model": {"weight": torch.full((4, 5), float(step))},
        "optimizer": {"weight/step": torch.tensor(float(step))},
    }


def place(step: int) -> Place:
    return Place(step, Position(10 * step))


def write(folder: Folder, *chosen: int, cadence: Cadence = CADENCE, **losses: float) -> None:
    checkpoints = Checkpoints(folder, cadence)
    for step in chosen:
        loss = losses.get(f"at_{step}")
        checkpoints.save(place(step), state(step), {} if loss is None else {"held-out/loss": loss})
    checkpoints.close()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "run@1"))


def test_what_was_saved_is_restored(folder: Folder) -> None:
    assert newest(folder) is None
    write(folder, 3, 5)
    found = newest(folder)
    assert found is not None
    assert found[0] == Place(5, Position(50))
    assert torch.equal(found[1]["model"]["weight"], state(5)["model"]["weight"])
    assert torch.equal(found[1]["optimizer"]["weight/step"], torch.tensor(5.0))
    assert found[2] == []
    assert load(folder, 3)[0] == Place(3, Position(30))
    assert torch.equal(
        load_file(folder.path("checkpoints/00000003/model.safetensors"))["weight"], torch.full((4, 5), 3.0)
    )
    with pytest.raises(CheckpointError, match="has no checkpoint 4: it has 3, 5"):
        load(folder, 4)


def damages(content: bytes) -> Iterator[tuple[str, bytes]]:
    yield "truncated", content[:-1]
    yield "empty", b""
    yield "longer", content + b"\0"
    for place in (0, len(content) // 2, len(content) - 2):
        yield f"bit flipped at {place}", content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "manifest.json"])
def test_damage_is_seen_and_the_one_before_is_used(folder: Folder, name: str) -> None:
    write(folder, 3, 5)
    at = f"checkpoints/00000005/{name}"
    content = folder.read(at)
    for what, damaged in damages(content):
        folder.write(at, damaged)
        with pytest.raises(DamagedError, match=f"checkpoint 5 .* is damaged: {name}"):
            load(folder, 5)
        found = newest(folder)
        assert found is not None, what
        assert found[0].step == 3, what
        assert len(found[2]) == 1, what
    folder.write(at, content)
    assert newest(folder)[0].step == 5  # type: ignore[index]


def test_a_missing_file_is_damage(folder: Folder) -> None:
    write(folder, 3, 5)
    folder.delete("checkpoints/00000005/optimizer.safetensors")
    found = newest(folder)
    assert found is not None
    assert found[0].step == 3
    assert "optimizer.safetensors is missing" in found[2][0]


def test_a_run_with_nothing_whole_does_not_begin_anew(folder: Folder) -> None:
    write(folder, 3)
    folder.write("checkpoints/00000003/model.safetensors", b"")
    with pytest.raises(CheckpointError, match="no checkpoint is whole"):
        newest(folder)


def test_an_unfinished_one_is_no_checkpoint_and_is_swept(folder: Folder) -> None:
    write(folder, 3, 5)
    folder.delete("checkpoints/00000005/manifest.json")
    folder.write("checkpoints/00000007/model.safetensors.partial", b"half")
    assert steps(folder) == [3]
    Checkpoints(folder, CADENCE).close()
    assert [*folder.names("checkpoints/00000005")] == [*folder.names("checkpoints/00000007")] == []
    assert steps(folder) == [3]


def test_the_manifest_is_written_last(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    written = Folder.write
    monkeypatch.setattr(Folder, "write", lambda f, name, content: (order.append(name), written(f, name, content)))
    write(folder, 3)
    assert order[-1] == "checkpoints/00000003/manifest.json"
    assert len(order) == 3


def test_which_ones_stay(folder: Folder) -> None:
    cadence = replace(CADENCE, keep_last=2, keep_every=4)
    losses = {"at_1": 3.0, "at_2": 1.0, "at_3": 2.0, "at_4": float("nan"), "at_6": 1.5}
    write(folder, *range(1, 8), cadence=cadence, **losses)
    assert steps(folder) == [2, 4, 6, 7]  # the best, a multiple of 4, the last two
    write(folder, 9, 10, cadence=cadence)  # another start knows the best as well
    assert steps(folder) == [2, 4, 9, 10]
    highest = replace(cadence, best_is="highest")
    write(folder, 11, 12, cadence=highest, at_11=0.5)
    assert steps(folder) == [2, 4, 11, 12]


def test_a_new_best_is_told(folder: Folder) -> None:
    write(folder, 3, at_3=1.0)
    checkpoints = Checkpoints(folder, CADENCE)
    assert checkpoints.improves({"held-out/loss": 0.9})
    assert not checkpoints.improves({"held-out/loss": 1.1})
    assert not checkpoints.improves({"held-out/loss": float("nan")})


def test_a_damaged_one_of_the_same_step_is_written_anew(folder: Folder) -> None:
    write(folder, 3, 5)
    folder.write("checkpoints/00000005/model.safetensors", b"torn")
    checkpoints = Checkpoints(folder, CADENCE)
    checkpoints.rewind(3)
    checkpoints.save(place(5), state(5), {})
    checkpoints.close()
    assert newest(folder)[0].step == 5  # type: ignore[index]


def test_a_full_disk_loses_nothing_and_is_told_once(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 3)
    checkpoints = Checkpoints(folder, CADENCE)
    written = Folder.write

    def full(at: Folder, name: str, content: bytes) -> None:
        if name.endswith("optimizer.safetensors"):
            raise OSError(errno.ENOSPC, "No space left on device")
        written(at, name, content)

    monkeypatch.setattr(Folder, "write", full)
    checkpoints.save(place(5), state(5), {})
    while checkpoints._pending and not checkpoints._pending.done():
        pass
    with pytest.raises(CheckpointError, match=r"checkpoint 5 cannot be written .*No space left.* 3 is whole"):
        checkpoints.check()
    checkpoints.check()
    monkeypatch.undo()
    assert [*folder.names("checkpoints/00000005")] == []
    assert newest(folder)[0].step == 3  # type: ignore[index]
    checkpoints.save(place(6), state(6), {})  # there is room again
    checkpoints.close()
    assert newest(folder)[0].step == 6  # type: ignore[index]


def test_a_manifest_of_another_format_is_refused(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecgfm.train.checkpoint.FORMAT", "ecgfm-checkpoint-0")
    write(folder, 3)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="is ecgfm-checkpoint-0; this version reads ecgfm-checkpoint-1"):
        newest(folder)
    assert json.loads(folder.read("checkpoints/00000003/manifest.json"))["step"] == 3


def test_an_object_store_holds_them_too(bucket: str) -> None:
    folder = Folder(bucket.replace("/folder", "/run@1"))
    write(folder, 3, 5, 7)
    assert steps(folder) == [5, 7]
    folder.write("checkpoints/00000007/model.safetensors", b"torn")
    folder.write("checkpoints/00000009/model.safetensors", b"unfinished")
    found = newest(folder)
    assert found is not None
    assert found[0].step == 5
    checkpoints = Checkpoints(folder, CADENCE)
    assert [*folder.names("checkpoints/00000009")] == []
    checkpoints.rewind(5)
    checkpoints.save(place(7), state(7), {})
    checkpoints.close()
    assert newest(folder)[0].step == 7  # type: ignore[index]
