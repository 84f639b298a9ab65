"""Kills what a run under Ray consists of, at random moments from its start to its end, gives the same command again,
and holds the curve against that of a run that was left alone: every figure, bit for bit, and no more steps made again
than lie between two checkpoints.

    python tools/drill_ray.py --kills 5 --to demo/drill-ray -- dbeta_tiny --steps 200 --resources.workers 2 --shards ...

What follows "--" are the words of jobs/pretrain.py without --to; it logs every step. Each of worker, driver, service of
false reports and whole cluster is killed with SIGKILL so many times. A killed service is replaced while the run goes
on. Recovery is the time from the kill to the first step after it, the start of a new cluster included. A run that is
finished before all kills are made is begun anew in another folder. --record jobs/records/drill-ray@1 keeps the table.
"""

import math
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import tyro
from drill import compare, curve
from local_cluster import Cluster
from record import recipe, table, write

from ecgfm.data.storage import Folder
from ecgfm.train.checkpoint import steps
from ecgfm.train.journal import METRICS, rows

COMMAND = Path(__file__).parent.parent / "jobs" / "pretrain.py"
KINDS = ("worker", "driver", "negatives", "cluster")
TITLES = {"worker": "ray::RayTrainWorker", "negatives": "ray::Service"}
_END = 120.0  # seconds after which a driver should have seen that its run is dead
_RECOVER = 600.0
_LOST = 3  # exit code: the same command goes on


@dataclass
class Kill:
    kind: str
    at: float  # seconds after the start of the driver
    step: int  # reached by then
    again: int  # steps to be made again
    recovery: float | None = None  # seconds; None: there was no step to come


@dataclass
class Drill:
    words: tuple[str, ...]
    to: Path
    cpus: int
    cluster: Cluster = field(init=False)
    driver: subprocess.Popen = field(init=False)
    kills: list[Kill] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.cpus)

    def begin(self, folder: Path) -> subprocess.Popen:
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(COMMAND), *self.words, "--to", str(folder)]
        with Path(f"{folder}.log").open("ab") as said:
            environment = self.cluster.environment
            self.driver = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        return self.driver

    def straight(self) -> tuple[list[dict], float]:
        start = time.monotonic()
        if code := self.begin(self.to / "straight").wait():
            raise RuntimeError(f"the run that is left alone ended with {code}: see {self.to}/straight.log")
        return curve(self.to / "straight"), time.monotonic() - start

    def kill(self, kind: str, driver: subprocess.Popen, folder: Path, start: float, every: int) -> Kill | None:
        """Or None when the run was over before."""
        victim = self._victim(kind, driver)
        if driver.poll() is not None:
            return None
        victim()
        reached = last(folder)
        made = Kill(kind, time.monotonic() - start, reached, reached - max(steps(Folder(str(folder))), default=0))
        if kind == "negatives":
            made.again = 0
        if made.again > every:
            raise AssertionError(f"{made}: more steps to be made again than lie between two checkpoints")
        self.kills.append(made)
        return made

    def _victim(self, kind: str, driver: subprocess.Popen) -> Callable[[], object]:
        if kind == "driver":
            return driver.kill
        if kind == "cluster":  # and with it the driver, which as a submitted job is one of its processes
            return lambda: (self.cluster.kill(), driver.kill())
        while driver.poll() is None:
            if found := self.cluster.processes(TITLES[kind]):
                return random.choice(found).kill
            time.sleep(0.01)
        return lambda: None

    def ended(self, driver: subprocess.Popen, kind: str) -> None:
        """The driver has seen that its run is dead."""
        code = driver.wait(_END)
        if kind == "worker" and code != _LOST:
            raise AssertionError(f"the driver ended with {code} after a worker was killed, not with {_LOST}")

    def recovered(self, driver: subprocess.Popen, folder: Path, made: Kill, killed: float) -> bool:
        """Wait for a step after the kill, and note when it was made; False where none was to come."""
        end = time.monotonic() + _RECOVER
        while driver.poll() is None and time.monotonic() < end:
            if (when := clock(folder)) > killed:
                made.recovery = when - killed
                return True
            time.sleep(0.05)
        return False


def last(folder: Path) -> int:
    return int((curve(folder) or [{"step": 0}])[-1]["step"] or 0) if (folder / METRICS).exists() else 0


def clock(folder: Path) -> float:
    """When the last step was made."""
    return max((row.get("time/clock") or 0 for row in rows(Folder(str(folder)))), default=0)


def drill(words: tuple[str, ...], to: Path, kills: int, kinds: tuple[str, ...], cpus: int, every: int) -> list[Kill]:
    made = Drill((*words, "--cadence.log", "1", "--cadence.save", str(every)), to, cpus)
    try:
        expected, length = made.straight()
        for kind in kinds:
            lap = 0
            while sum(k.kind == kind for k in made.kills) < kills:
                lap += 1
                folder = to / f"{kind}-{lap}"
                _lap(made, kind, kills, folder, length, every)
                compare(expected, curve(folder))
                print(f"{folder.name}: the same curve, bit for bit", flush=True)
        return made.kills
    finally:
        made.driver.kill()
        made.cluster.close()


def _lap(made: Drill, kind: str, kills: int, folder: Path, length: float, every: int) -> None:
    """One run, killed until all kills are made or it is finished."""
    killed: tuple[Kill, float] | None = None
    driver, start = made.begin(folder), time.monotonic()
    while True:
        if killed:
            made.recovered(driver, folder, *killed)
        if sum(k.kind == kind for k in made.kills) >= kills:
            break
        with suppress(subprocess.TimeoutExpired):
            driver.wait(random.uniform(0, length * 0.8))
        if (kill := made.kill(kind, driver, folder, start, every)) is None:
            break
        killed = kill, time.time()
        print(f"{kind} killed {kill.at:.1f} s after its start, at step {kill.step}", flush=True)
        if kind == "negatives":
            continue
        made.ended(driver, kind)
        if kind == "cluster":
            made.cluster.close()
            made.cluster = Cluster(made.cpus)
        driver, start = made.begin(folder), time.monotonic()
    if code := driver.wait():
        raise RuntimeError(f"a run ended with {code}: see {folder}.log")


def counted(kills: list[Kill]) -> list[dict[str, str | int | float]]:
    """A row for each kind of kill."""
    found = []
    for kind in dict.fromkeys(kill.kind for kill in kills):
        of = [kill for kill in kills if kill.kind == kind]
        times = [kill.recovery for kill in of if kill.recovery is not None] or [math.nan]
        row = {"killed": kind, "times": len(of), "steps made again, at most": max(kill.again for kill in of)}
        found.append(row | {"recovery, s": round(median(times)), "longest, s": round(max(times))})
    return found


def main(
    words: tyro.conf.Positional[tuple[str, ...]],
    /,
    to: Path,
    kills: int = 5,
    kinds: tuple[str, ...] = KINDS,
    cpus: int = 2,
    every: int = 10,
    seed: int = 0,
    record: Path | None = None,
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the cluster is stopped
    random.seed(seed)
    made = drill(words, to, kills, kinds, cpus, every)
    print("\n".join(table(counted(made))))
    if record:
        said = (
            f"{len(made)} kills: every curve is that of the run that was left alone, bit for bit, and at most {every} "
        )
        said += "steps, those between two checkpoints, were made again after each"
        write(
            record,
            "Killed under Ray",
            said,
            counted(made),
            kills=[asdict(kill) for kill in made],
            recipe=recipe(to / "straight"),
        )


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
