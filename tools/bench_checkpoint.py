"""What a checkpoint costs a training run, beside torch.save, in alternation in one process:

    OMP_NUM_THREADS=2 python tools/bench_checkpoint.py --parameters 50e6 --to bench

`stopped` is how long the step waits; `written` when it is on disk with its hashes; `read` is restoring, hashes checked.
Medians and quartiles of the repeats, for weights and both moments in fp32.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import tyro

from ecgfm.data.storage import Folder
from ecgfm.run import Cadence
from ecgfm.train.checkpoint import Checkpoints, Place, load


def main(parameters: float = 50e6, repeats: int = 5, to: Path | None = None, device: str = "cpu") -> None:
    with tempfile.TemporaryDirectory(dir=to) as place:
        state = made(int(parameters), device)
        times = measured(state, Path(place), repeats)
    size = sum(t.nbytes for part in state.values() for t in part.values()) / 1e9
    print(f"{parameters / 1e6:.0f} M parameters, {size:.2f} GB, {repeats} repeats, {torch.get_num_threads()} threads")
    for name, found in times.items():
        low, middle, high = np.percentile(found, (25, 50, 75))
        print(f"{name:24} {middle:7.3f} s  ({low:.3f} to {high:.3f})")
    share = np.median(times["ours, stopped"]) / np.median(times["torch.save and fsync"])
    print(f"the step waits for {share:.2f} of the time of torch.save and fsync")


def made(parameters: int, device: str) -> dict[str, dict[str, torch.Tensor]]:
    """In matrices of a million numbers, as a transformer of width 1024 has."""
    names = [f"blocks.{i}.weight" for i in range(max(1, parameters // 2**20))]
    weights = {name: torch.randn(1024, 1024, device=device) for name in names}
    moments = {
        f"{name}/{kind}": torch.randn_like(w) for name, w in weights.items() for kind in ("exp_avg", "exp_avg_sq")
    }
    return {"model": weights, "optimizer": moments}


def measured(state: dict[str, dict[str, torch.Tensor]], place: Path, repeats: int) -> dict[str, list[float]]:
    checkpoints = Checkpoints(Folder(str(place / "ours")), Cadence(keep_last=1))
    times: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        start = time.perf_counter()
        work()
        times.setdefault(name, []).append(time.perf_counter() - start)

    checkpoints.save(Place(0), state, {})  # memory is taken at the first one
    checkpoints.wait()
    for step in range(1, repeats + 1):
        timed("ours, stopped", lambda step=step: checkpoints.save(Place(step), state, {}))
        timed("ours, written after that", checkpoints.wait)
        timed("torch.save and fsync", lambda: save(state, place / "theirs.pt"))
        timed("ours, read", lambda step=step: load(checkpoints.folder, step))
    checkpoints.close()
    return times


def save(state: dict[str, dict[str, torch.Tensor]], path: Path) -> None:
    with path.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
