import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ecgfm import recipes
from ecgfm.run import Resources
from ecgfm.train.job import EXPECTED, Job, Means, WriteError, _device, work

RUN = recipes.find(["dbeta_tiny"])
HANGS = """
import time
from ecgfm.train import job

job.feed.corpora = lambda *_: time.sleep(20)
job.work(job.Job(None, (), "to"), job.Means(None, None, None, 0.1), None)
"""


def test_a_settled_job_means_the_same_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = Job(RUN, ("shards", "s3://bucket/shards"), "runs/new@1", origin="runs/old@1@5000").settled()
    monkeypatch.chdir("/")
    assert job.shards == (f"{tmp_path}/shards", "s3://bucket/shards")
    assert job.to == f"{tmp_path}/runs/new@1"
    begins = job.begins()
    assert begins is not None
    assert (begins.folder.uri, begins.step) == (f"{tmp_path}/runs/old@1", 5000)
    assert job.settled() == job


def test_all_of_another_run_or_its_towers() -> None:
    assert Job(RUN, (), "to").begins() is None
    towers = Job(RUN, (), "to", towers_from="other").begins()
    assert towers is not None
    assert towers.towers_only
    with pytest.raises(ValueError, match="give one of --from and --towers-from"):
        Job(RUN, (), "to", origin="one", towers_from="other").begins()


def test_a_start_that_hangs_is_ended() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "cannot be written to: No space left on device"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/runs/new@1/lock"),
            r"Permission denied \(/runs/new@1/lock",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/runs"), r"^/runs/new@1 cannot be written to"),
        (OSError(errno.EIO, "Input/output error", "/shards/train-00000.parquet"), None),
        (OSError("the store is away"), None),
    ],
)
def test_what_is_not_written_is_said_of_the_run(
    error: OSError, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("ecgfm.train.job._work", fails)
    with pytest.raises(WriteError if said else OSError, match=said):
        work(Job(RUN, (), "/runs/new@1"), Means(fails, fails, fails, None), lambda run, engine: {})
    assert WriteError in EXPECTED


def test_a_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"--resources.device cuda: torch .* finds no GPU on this node"):
        _device(Resources(device="cuda"))


def test_in_fp32_no_convolution_rounds_to_ten_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    before = torch.backends.cudnn.allow_tf32
    try:
        for precision, rounds in (("fp32", False), ("bf16", True)):
            assert _device(Resources(device="cuda", precision=precision)) == "cuda:0"
            assert torch.backends.cudnn.allow_tf32 is rounds
    finally:
        torch.backends.cudnn.allow_tf32 = before
