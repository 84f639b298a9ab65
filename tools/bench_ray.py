"""What Ray and DeepSpeed cost: the same recipe in one process with the torch engine, with DeepSpeed at each stage, and
under Ray with both, one after another and over again, so that all meet the same weather.

    python tools/bench_ray.py --to demo/bench-ray -- dbeta_small --steps 200 --shards demo/shards --towers.text.name ...

What follows "--" are the words of jobs/pretrain.py without --to. CPU seconds are those of all processes, Ray's own
included, from the command to the last step, less those of a run of a few steps, divided by the steps that the one makes
more than the other: so what starts is not counted, and what is read ahead is. They are told by who spent them: Ray's
daemons take theirs by the second, whatever a step does. All at the same niceness and with one thread. The launch is the
time from the command to the end of the first step; waits are shares of a step, without the first ones. A report to Ray
is timed in one worker on its own, one in three seconds; a run makes one per evaluation. (A second one would wait until
the first was fetched, a second or two.)
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
import ray.train
import tyro
from local_cluster import Cluster
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from record import recipe, table, write

from ecgfm.data.storage import Folder
from ecgfm.train.journal import METRICS, rows

COMMAND = Path(__file__).parent.parent / "jobs" / "pretrain.py"
WAYS = {
    "torch": ("--resources.launcher", "here", "--resources.engine", "torch"),
    **{f"ZeRO {n}": ("--resources.launcher", "here", "--resources.stage", str(n)) for n in range(4)},
    "torch under Ray": ("--resources.engine", "torch"),
    "ZeRO 0 under Ray": ("--resources.stage", "0"),
}
WHO = ("driver and workers", "tasks and actors", "Ray's daemons")
_EVEN = {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}


@dataclass(frozen=True)
class Ran:
    cpu: dict[str, float]  # seconds to the last step, by who spent them
    launch: float  # seconds to the first
    steps: list[dict[str, float]]


def once(words: tuple[str, ...], way: str, folder: Path) -> Ran:
    """One run, from the command to its end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    spent: dict[int, tuple[str, float]] = {}  # by process, also of those that ended
    seen, total = 0, {}
    with Cluster() if "Ray" in way else nullcontext() as cluster:
        environment = cluster.environment if cluster else dict(os.environ)
        command = [sys.executable, str(COMMAND), *words, *WAYS[way], "--cadence.log", "1", "--to", str(folder)]
        started = time.time()
        with Path(f"{folder}.log").open("w") as said:
            driver = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        while driver.poll() is None:
            time.sleep(0.25)
            for process in [psutil.Process(driver.pid), *(cluster.processes() if cluster else [])]:
                with suppress(psutil.Error):
                    spent[process.pid] = _who(process, driver.pid), sum(process.cpu_times()[:2])
            if (made := len(steps(folder))) > seen:
                seen, total = made, {who: sum(s for w, s in spent.values() if w == who) for who in WHO}
    if driver.returncode:
        raise RuntimeError(f"{way} ended with {driver.returncode}: see {folder}.log")
    made = steps(folder)
    return Ran(total, made[0]["time/clock"] - started, made)


def _who(process: psutil.Process, driver: int) -> str:
    title = (process.cmdline() or [""])[0]
    if process.pid == driver or title.startswith("ray::RayTrainWorker"):
        return "driver and workers"
    agents = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
    return "tasks and actors" if title.startswith("ray::") and not title.startswith(agents) else "Ray's daemons"


def compared(words: tuple[str, ...], way: str, folder: Path, few: int) -> dict[str, float]:
    """A run of all steps against one of a few."""
    short = once((*words, "--steps", str(few)), way, Path(f"{folder}-short"))
    long = once(words, way, folder)
    steady = long.steps[few:]
    return {
        "CPU s per step": (sum(long.cpu.values()) - sum(short.cpu.values())) / len(steady),
        **{f"of {who}": (long.cpu[who] - short.cpu[who]) / len(steady) for who in WHO},
        "step, s": median(row["time/step"] for row in steady),
        "launch, s": long.launch,
        "data wait": median(row["time/waited"] - row["time/negatives"] for row in steady),
        "false reports' wait": median(row["time/negatives"] for row in steady),
    }


def reporting() -> float:
    """Seconds that a report keeps a worker, in a process of its own: Ray reads its settings as it is imported."""
    with Cluster() as cluster:
        command = [sys.executable, "-c", "import bench_ray; print(bench_ray.timed_reports())"]
        said = subprocess.run(
            command, cwd=Path(__file__).parent, env=cluster.environment, capture_output=True, text=True
        )
    if said.returncode:
        raise RuntimeError(f"reports could not be timed:\n{said.stderr}")
    return float(said.stdout.split()[-1])


def timed_reports(times: int = 10) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch) / "seconds"

        def report() -> None:
            for step in range(times):
                time.sleep(3)
                start = time.perf_counter()
                ray.train.report({"step": step})
                with found.open("a") as file:
                    file.write(f"{time.perf_counter() - start}\n")

        ray.init(logging_level=logging.ERROR, log_to_driver=False)
        TorchTrainer(report, scaling_config=ScalingConfig(), run_config=RunConfig(storage_path=scratch)).fit()
        return median(float(line) for line in found.read_text().split())


def steps(folder: Path) -> list[dict[str, float]]:
    """The rows of steps that a run has made so far."""
    made = rows(Folder(str(folder))) if (folder / METRICS).exists() else []
    return [{name: value or 0.0 for name, value in row.items()} for row in made if "loss" in row]


def main(
    words: tyro.conf.Positional[tuple[str, ...]],
    /,
    to: Path,
    ways: tuple[str, ...] = (*WAYS,),
    times: int = 3,
    few: int = 20,
    record: Path | None = None,
) -> None:
    os.environ.update(_EVEN)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for time_ in range(times):
        for way in ways:
            found[way].append(compared(words, way, to / f"{way.replace(' ', '-')}-{time_}", few))
            print(way, found[way][-1], flush=True)
    middle = {way: {name: median(run[name] for run in runs) for name in runs[0]} for way, runs in found.items()}
    base = middle[ways[0]]["CPU s per step"]
    shown = [{"": way, "CPU": f"{row['CPU s per step'] / base - 1:+.1%}"} | row for way, row in middle.items()]
    print("\n".join(table(shown)))
    report = reporting()
    print(f"a report to Ray takes {1000 * report:.1f} ms")
    if record:
        said = f"Medians of {times} runs of each, in turn; CPU as compared with {ways[0]}; a report to Ray takes "
        said += f"{1000 * report:.1f} ms"
        first = recipe(to / f"{ways[0].replace(' ', '-')}-0")
        write(record, "What Ray and DeepSpeed cost", said, shown, recipe=first, runs=found)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
