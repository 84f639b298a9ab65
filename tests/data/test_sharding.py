import hashlib
import json
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made import LAYOUT, Corpus, ecg, make

from ecgfm.data import entry as rows
from ecgfm.data import sharding, shards
from ecgfm.data.layout import Layout
from ecgfm.data.record import Record
from ecgfm.data.sharding import TooManyRefused
from ecgfm.data.storage import Folder

pytestmark = pytest.mark.ray


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_accepted_record_comes_back_as_it_was(made_shards: Path) -> None:
    folder, seen = Folder(str(made_shards)), 0
    for made in shards.manifest(folder).shards:
        for row in pq.read_table(made_shards / made.name).to_pylist():
            record, number = shards.record(row), int(row["path"][-5:])
            expected = ecg(number, 6 + number % 7, 100)
            assert record.ecg.names == expected.names
            assert record.ecg.samples.dtype == expected.samples.dtype
            assert (record.ecg.samples == expected.samples).all()
            assert (record.ecg.gain, record.ecg.rate) == (expected.gain, expected.rate)
            assert record.age == 20 + number % 60
            seen += 1
    assert seen == shards.manifest(folder).records == 289


def test_manifest_counts_and_checksums(made_shards: Path) -> None:
    folder = Folder(str(made_shards))
    manifest = shards.manifest(folder)
    assert sum(made.refused for made in manifest.shards) == 11
    assert not shards.damaged(folder, {made.name: made.sha256 for made in manifest.shards} | manifest.tables)
    index = shards.index(folder)
    assert len(index) == manifest.records
    for split in shards.SPLITS:
        others = index.filter(np.array(index["split"]) != split)["subject"].to_pylist()
        own = index.filter(np.array(index["split"]) == split)["subject"].to_pylist()
        assert not {*own} & {*others}


def test_reports_stand_once_with_their_counts(made_shards: Path) -> None:
    reports = pq.read_table(made_shards / "reports.parquet")
    index = shards.index(Folder(str(made_shards)))
    assert reports["report_id"].to_pylist() == list(range(len(reports)))
    assert len({*reports["text"].to_pylist()}) == len(reports)
    with_report = np.array(index["report"]) >= 0
    assert sum(reports["count"].to_pylist()) == with_report.sum()
    assert sum(reports["train"].to_pylist()) == (with_report & (np.array(index["split"]) == "train")).sum()
    row = pq.read_table(made_shards / "train-00000.parquet").slice(0, 1).to_pylist()[0]
    assert reports["text"][row["report"]].as_py() == f"report number {int(int(row['path'][-5:]) ** 0.5)}"


def test_refusals_are_a_table(made_shards: Path) -> None:
    refusals = pq.read_table(made_shards / "refusals.parquet").to_pylist()
    assert {r["path"] for r in refusals} == {f"records/{n:05}" for n in range(7, 300, 29)}
    assert {(r["reason"], r["detail"]) for r in refusals} == {("wrong-checksum", "lead V3")}


def test_finished_shards_are_left_alone(made_shards: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made_shards.rglob("*")}
    assert make(made_shards)[1] == 0
    assert {path: path.stat().st_mtime_ns for path in made_shards.rglob("*")} == before


def test_a_damaged_shard_alone_is_made_again(made_shards: Path, local_ray: None, tmp_path: Path) -> None:
    make(tmp_path)
    whole = content(made_shards)
    victim = tmp_path / "train-00002.parquet"
    damaged = bytearray(victim.read_bytes())
    damaged[1000] ^= 1
    victim.write_bytes(damaged)
    assert make(tmp_path)[1] == 0  # same size: not looked at
    manifest = shards.manifest(Folder(str(tmp_path)))
    assert shards.damaged(Folder(str(tmp_path)), {s.name: s.sha256 for s in manifest.shards}) == [victim.name]
    assert make(tmp_path, repair=True)[1] == 1
    assert content(tmp_path) == whole


def test_a_part_that_a_power_loss_left_empty_is_made_again(made_shards: Path, local_ray: None, tmp_path: Path) -> None:
    shutil.copytree(made_shards, tmp_path / "copy")
    parts = [tmp_path / "copy" / "parts" / f"train-{number:05}.parquet.json" for number in (1, 3)]
    parts[0].write_bytes(b"")
    parts[1].write_bytes(bytes(parts[1].stat().st_size))
    assert make(tmp_path / "copy")[1] == 2
    assert content(tmp_path / "copy") == content(made_shards)
    (tmp_path / "copy" / "parts" / "options.json").write_bytes(b"")
    with pytest.raises(ValueError, match="give --to another folder, or delete this one"):
        make(tmp_path / "copy")


def test_other_options_are_not_mixed_in(made_shards: Path) -> None:
    for corpus, layout in ((Corpus(records=200), LAYOUT), (Corpus(), Layout(rows=50, chunk=8))):
        with pytest.raises(ValueError, match="of other options"):
            make(made_shards, corpus, layout)


def test_too_many_refused_is_an_error_that_keeps_what_was_made(local_ray: None, tmp_path: Path) -> None:
    corpus = Corpus(records=60, refuse=20)
    with pytest.raises(TooManyRefused, match=r"3 of 60 records were refused \(3 wrong-checksum\)"):
        make(tmp_path, corpus, limit=0.01)
    assert len(pq.read_table(tmp_path / "refusals.parquet")) == 3
    assert not (tmp_path / "manifest.json").exists()
    manifest, made = make(tmp_path, corpus, limit=0.1)
    assert (manifest.records, made) == (57, 0)


def test_a_file_that_cannot_be_read_is_refused_and_the_job_goes_on(local_ray: None, tmp_path: Path) -> None:
    manifest, _ = make(tmp_path, Corpus(records=60, refuse=1000, lost_at=31), limit=0.1)
    assert manifest.records == 58
    refusals = pq.read_table(tmp_path / "refusals.parquet").to_pylist()
    found = {r["path"]: (r["reason"], r["detail"]) for r in refusals}
    assert found["records/00031"] == ("unreadable-file", "PermissionError")


def test_a_file_is_tried_again_before_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def read(self: Corpus, source: Folder, entry: dict) -> Record:
        tries.append(entry["path"])
        if len(tries) < 3:
            raise TimeoutError(entry["path"])
        return rows.record(entry, (ecg(1, 6, 100),))

    monkeypatch.setattr(Corpus, "read", read)
    monkeypatch.setattr(sharding, "PAUSES", (0, 0))
    work = sharding.Work(Corpus(), Folder("."), Folder(str(tmp_path)), LAYOUT)
    (entry,) = Corpus(records=1).entries(work.source).to_pylist()
    assert work._read(entry, "").path == entry["path"]
    assert len(tries) == 3


def test_a_fault_of_the_reader_tells_the_place_and_nothing_of_the_record(local_ray: None, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^\w+-\d+\.parquet, row \d+: KeyError while it was read") as failed:
        make(tmp_path, Corpus(records=60, wrong_at=31))
    assert "records/" not in "".join(traceback.format_exception(failed.value))
    assert "records/" not in repr(failed.value)


KILLED = """
import sys, ray
sys.path.insert(0, sys.argv[1])
from made import make
ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False,
         runtime_env={"env_vars": {"PYTHONPATH": sys.argv[1]}})
import threading, os, signal, time
from pathlib import Path
to = Path(sys.argv[2])
def watch():
    while len(list(to.glob("parts/*.parquet.json"))) < int(sys.argv[3]):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
make(to)
"""


@pytest.mark.slow
def test_a_killed_job_goes_on_and_ends_with_the_same_bytes(made_shards: Path, local_ray: None, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent.parent), str(tmp_path), "3"]
    assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=300).returncode == -9
    done = len([*tmp_path.glob("parts/*.parquet.json")])
    assert not (tmp_path / "manifest.json").exists()
    (tmp_path / "train-00001.parquet.partial").write_bytes(b"torn")  # what a kill in mid-write leaves
    _, made = make(tmp_path)
    assert 0 < made <= len(shards.manifest(Folder(str(tmp_path))).shards) - done
    (tmp_path / "train-00001.parquet.partial").unlink(missing_ok=True)
    assert content(tmp_path) == content(made_shards)


def test_a_killed_reader_is_replaced(made_shards: Path, local_ray: None, tmp_path: Path) -> None:
    corpus = Corpus(die_at=150, mark=str(tmp_path / "died"))
    make(tmp_path / "shards", corpus)
    assert (tmp_path / "died").exists()
    signals = {
        name: h for name, h in content(tmp_path / "shards").items() if name.startswith(("train", "valid", "test"))
    }
    assert signals == {name: content(made_shards)[name] for name in signals}


def test_shards_of_another_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "other", "codec": "x"}))
    with pytest.raises(ValueError, match="make the shards again"):
        shards.manifest(Folder(str(tmp_path)))
    with pytest.raises(FileNotFoundError, match=r"jobs/shard\.py"):
        shards.manifest(Folder(str(tmp_path / "nothing")))
