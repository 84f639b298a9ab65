"""Kills a training run with SIGKILL at random moments, every third time in the middle of a save, gives the same command
again each time, and holds the curve and the last checkpoint against those of a run that was never stopped, bit for bit.

    python tools/drill.py --kills 50 --to demo/drill --record jobs/records/drill@1 -- dbeta_tiny --shards demo/shards \
        --towers.text.name demo/t5 --resources.engine torch

What follows "--" are the words of jobs/pretrain.py without --to. With --workers 2, one of two processes is killed, and
the other is ended when it has not ended by itself, as torchrun does. A run that is finished before all kills are made
is begun anew in another folder. Ends with a line of counts, and with exit code 1 at the first difference.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import torch
import tyro
from record import recipe, write

from ecgfm import draw
from ecgfm.data.storage import Folder
from ecgfm.train.checkpoint import load, steps
from ecgfm.train.journal import METRICS, rows

Start = Callable[[str], int | None]  # trains in a folder, from wherever it stands
Curve = list[dict[str, int | float | None]]
_PATIENCE = 5.0  # seconds for the others to end when one of them is dead
_STARTING = 5.0  # seconds that a start takes, about
_SERVER = get_context("forkserver")
_SERVER.set_forkserver_preload(["ecgfm.recipes", "ecgfm.train.job", "ecgfm.train.launch", "torch._dynamo"])


@dataclass
class Tally:
    kills: int = 0
    in_a_start: int = 0  # before the run went on
    in_a_save: int = 0  # a checkpoint was half written, or half deleted, when the process died
    repeated: int = 0  # steps that had to be made again

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.in_a_start} of them in a start and {self.in_a_save} in the middle of a save; "
            f"{self.repeated} steps made again"
        )


def drill(start: Start, to: Path, kills: int, workers: int = 1, seed: int = 0) -> Tally:
    """Raises where a curve differs."""
    _finish(_begin(start, to / "straight", workers))
    expected, random, tally, lap = curve(to / "straight"), draw.generator("drill", seed), Tally(), 0
    stride = max(2, 2 * int(expected[-1]["step"] or 0) // (kills + 1))
    while tally.kills < kills:
        lap += 1
        folder = to / f"killed-{lap}"
        while tally.kills < kills and _killed(_begin(start, folder, workers), folder, random, stride, tally):
            pass
        _finish(_begin(start, folder, workers))
        compare(expected, curve(folder))
        if different := unlike(to / "straight", folder):
            raise AssertionError(f"after kills the last checkpoint differs in {', '.join(different)}")
        print(f"lap {lap}: the same curve after {tally}", flush=True)
    return tally


def _begin(start: Start, folder: Path, workers: int) -> list[ForkServerProcess]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = [(start, folder, rank, workers, port) for rank in range(workers)]
    processes = [_SERVER.Process(target=_work, args=one, daemon=True) for one in given]
    for process in processes:
        process.start()
    return processes


def _work(start: Start, folder: Path, rank: int, workers: int, port: int) -> None:
    """As torchrun starts it. What it says is kept beside the folder."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(workers), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    folder.parent.mkdir(parents=True, exist_ok=True)
    said = os.open(f"{folder}.{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.exit(start(str(folder)))


def _finish(processes: list[ForkServerProcess]) -> None:
    for process in processes:
        process.join()
    ends = [process.exitcode for process in processes]
    if any(ends):
        raise RuntimeError(f"a start ended with {ends}: see the .log files")


def _killed(
    processes: list[ForkServerProcess], folder: Path, random: np.random.Generator, stride: int, tally: Tally
) -> bool:
    """One start and its end by a kill, or False when it was finished before that."""
    further, launches = int(random.integers(0, stride + 1)), _launches(folder)
    target, saving = _last(folder) + further, random.random() < 1 / 3 and further > 0
    while _alive(processes) and not (_last(folder) >= target and (not saving or _unfinished(folder))):
        time.sleep(1e-4)
    time.sleep(random.random() * (1e-3 if saving else 2e-2 if further else _STARTING))
    victim = processes[int(random.integers(len(processes)))]
    if not _alive(processes):
        _finish(processes)
        return False
    os.kill(victim.pid or 0, signal.SIGKILL)
    for process in processes:
        process.join(_PATIENCE)
        process.kill()
        process.join()
    tally.kills += 1
    tally.in_a_start += _launches(folder) == launches
    tally.in_a_save += _unfinished(folder)
    tally.repeated += _last(folder) - max(steps(Folder(str(folder))), default=0)
    return True


def _alive(processes: list[ForkServerProcess]) -> bool:
    return all(process.is_alive() for process in processes)


def _last(folder: Path) -> int:
    """The last step that is written down."""
    path = folder / METRICS
    lines = path.read_bytes()[-2000:].splitlines() if path.exists() else []
    whole = [line for line in lines if line.startswith(b'{"step"') and line.endswith(b"}")]
    return json.loads(whole[-1])["step"] if whole else 0


def _launches(folder: Path) -> int:
    return len(json.loads((folder / "run.json").read_bytes())["launches"]) if (folder / "run.json").exists() else 0


def _unfinished(folder: Path) -> bool:
    begun = [*folder.glob("checkpoints/*")]
    return any(not (checkpoint / "manifest.json").exists() for checkpoint in begun)


def curve(folder: Path) -> Curve:
    """What does not depend on the machine."""
    found = rows(Folder(str(folder)))
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in found]


def compare(expected: Curve, found: Curve) -> None:
    for one, other in zip(expected, found, strict=False):
        if one != other:
            raise AssertionError(f"step {one['step']}: {one} straight, and {other} after kills")
    if len(expected) != len(found):
        raise AssertionError(f"{len(expected)} rows straight, and {len(found)} after kills")


def unlike(straight: Path, folder: Path) -> list[str]:
    """What differs between the last checkpoints, weights and moments of the optimizer."""
    ours, theirs = (load(Folder(str(home)), steps(Folder(str(home)))[-1])[1] for home in (straight, folder))
    return [
        f"{part}: {name}"
        for part in sorted(ours.keys() | theirs.keys())
        for name in sorted(ours[part].keys() | theirs[part].keys())
        if not torch.equal(ours[part][name], theirs[part][name])
    ]


def pretrain(words: list[str], folder: str) -> int:
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from jobs.pretrain import main

    return main([*words, "--to", folder])


def main(
    words: tyro.conf.Positional[tuple[str, ...]],
    /,
    to: Path,
    kills: int = 50,
    workers: int = 1,
    seed: int = 0,
    record: Path | None = None,
) -> None:
    tally = drill(partial(pretrain, [*words]), to, kills, workers, seed)
    said = f"{tally}; every curve, and all of the last checkpoint, is that of the run that was not stopped, bit for bit"
    print(said)
    if record:
        rows = [{"processes": workers, **asdict(tally), "steps": curve(to / "straight")[-1]["step"]}]
        write(record, "Killed and started again", said, rows, recipe=recipe(to / "straight"))


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
