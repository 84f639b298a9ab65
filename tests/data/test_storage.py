import os
import pickle
import re
import shutil
import traceback
from pathlib import Path

import numpy as np
import pytest
from made import make

from ecgfm.data import reader, shards
from ecgfm.data.storage import Folder, StoreError, lasting
from ecgfm.run import Frame


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    return Folder(str(tmp_path) if request.param == "disk" else request.getfixturevalue("bucket"))


def test_what_is_written_is_read(folder: Folder) -> None:
    folder.write("a/b.bin", b"0123456789")
    folder.write("a/c.txt", b"")
    assert folder.read("a/b.bin") == b"0123456789"
    assert (folder.size("a/b.bin"), folder.size("a/c.txt"), folder.size("a/d"), folder.size("a")) == (10, 0, None, None)
    assert folder.exists("a/b.bin")
    assert not folder.exists("b.bin")
    assert [*folder.names()] == ["a/b.bin", "a/c.txt"]
    assert [*folder.names("a", ".txt")] == ["a/c.txt"]
    assert [*folder.names("nothing")] == []
    with folder.file("a/b.bin") as stream:
        stream.seek(5)
        assert stream.read(2) == b"56"
    folder.delete("a/b.bin")
    assert not folder.exists("a/b.bin")


def test_a_folder_travels(folder: Folder) -> None:
    folder.write("x", b"1")
    arrived = pickle.loads(pickle.dumps(folder))
    assert arrived == folder
    assert arrived.read("x") == b"1"


def test_a_folder_is_named_without_its_keys(bucket: str) -> None:
    assert f"{Folder(bucket)}" == "s3://bucket/folder"
    assert f"{Folder('/a@b?c')}" == "/a@b?c"
    run = Folder("s3://key:secret@bucket/runs/a@1?region=x")
    assert f"{run}" == "s3://bucket/runs/a@1"
    assert run.name == "a@1"
    assert f"{Folder('s3://bucket/runs/a@1')}" == "s3://bucket/runs/a@1"
    assert f"{Folder('s3://key:secret@bucket')}" == "s3://bucket"


@pytest.mark.parametrize(
    "uri",
    [f"s3://KEY:se{mark}cret@bucket/x?region=us-east-1" for mark in "/?#"]
    + ["swift://KEY:secret@bucket/x", "s3://KEY:secret@bucket/x?regio=us-east-1"],
)
def test_a_uri_that_does_not_parse_is_told_without_its_keys(uri: str) -> None:
    with pytest.raises(ValueError, match=r"^\w+://\S+ does not parse: in a key or password write a / as %2F") as caught:
        Folder(uri).exists("manifest.json")
    told = "".join(traceback.format_exception(caught.value)) + f"{Folder(uri)} {Folder(uri).name}"
    assert not re.search("KEY|se.?cret", told)
    whole = Folder("s3://KEY:se%2Fcret@bucket/x?region=us-east-1")
    assert (whole.path("a"), f"{whole}") == ("bucket/x/a", "s3://bucket/x")


def test_nothing_is_written_into_rays_copy_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "_ray_pkg_029f88d5ecc55e1e"
    copy.mkdir()
    monkeypatch.chdir(copy)
    for uri in ("runs/a@1", ".", f"file://{copy}/runs"):
        with pytest.raises(ValueError, match="give an absolute path that all nodes see, or a URI"):
            lasting(uri)
    assert lasting(str(tmp_path / "a@1")).uri == f"{tmp_path}/a@1"
    assert lasting("s3://bucket/a@1").uri == "s3://bucket/a@1"


def test_a_missing_file_is_named(folder: Folder) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        folder.read("nowhere")


def test_a_local_folder_does_not_move_with_whoever_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Folder("here")
    folder.write("x", b"1")
    monkeypatch.chdir("/")
    assert folder.read("x") == b"1"


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.write("x", b"whole")
    os.mkdir(tmp_path / "x.partial")  # so that the write fails
    with pytest.raises(OSError, match="partial"):
        folder.write("x", b"torn")
    assert folder.read("x") == b"whole"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power loss leaves an empty file under the name of a whole one."""
    fsync, seen = os.fsync, []

    def noted(descriptor: int) -> None:
        seen.append((os.fstat(descriptor).st_size, (tmp_path / "x").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    Folder(str(tmp_path)).write("x", b"whole")
    assert seen == [(5, False)]
    assert (tmp_path / "x").read_bytes() == b"whole"


@pytest.mark.ray
def test_shards_in_an_object_store_are_those_on_disk(local_ray: None, made_shards: Path, bucket: str) -> None:
    remote, local = Folder(bucket.replace("/folder", "/shards")), Folder(str(made_shards))
    make(remote.uri)
    assert shards.manifest(remote) == shards.manifest(local)
    assert [*remote.names()] == [*local.names()]
    read = [
        [batch.record for batch, _ in reader.read(reader.open_reader([f.uri], "train", 16, Frame(100, 10.0)), 6)]
        for f in (remote, local)
    ]
    assert all((a == b).all() for a, b in zip(*read, strict=True))
    assert len(np.unique(np.concatenate([r.numpy() for r in read[0]]))) > 50


def test_a_store_that_cannot_be_asked_is_named_without_its_keys(bucket: str) -> None:
    away = Folder(bucket.replace("@bucket/", "@nobody-has-this/"))
    with pytest.raises(
        StoreError, match="nobody-has-this/folder cannot be reached, or not with these rights"
    ) as caught:
        away.write("a", b"1")
    assert "test:test" not in str(caught.value)


def test_a_damaged_shard_is_named(made_shards: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(made_shards, tmp_path / "shards"))
    shard = next(copied.glob("train-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(
        ValueError, match=rf"{shard.name} cannot be read .*: if `ecgfm verify .*--repair makes it again"
    ):
        shards.read(Folder(str(copied)), shard.name, [0])
