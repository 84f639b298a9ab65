"""run.json: what a run's folder holds. It keeps another recipe out, and says how each launch was made."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ecgfm.data.storage import Folder
from ecgfm.run import NO_IDENTITY, Resources, Run, describe, differences, identity
from ecgfm.train.lock import ClaimedError

_PACKAGES = ("ecgfm", "torch", "ray", "deepspeed", "transformers", "numpy", "pyarrow", "safetensors")


def same_run(folder: Folder, run: Run, inputs: Mapping[str, str]) -> None:
    """Refuses a folder that holds another run. `inputs` are the hashes of what is read: shards, text model."""
    if not folder.exists("run.json"):
        return
    held = json.loads(folder.read("run.json"))
    ours = {"recipe": describe(run), "inputs": dict(inputs)}
    if held["identity"] != identity(**ours):
        spared = tuple(f"recipe.{name}" for name in NO_IDENTITY)
        differing = [line for line in differences(held, held | ours) if not line.startswith(spared)]
        raise ClaimedError(
            f"{folder} holds a run with another recipe ({'; '.join(differing)}): give the command it was started "
            "with, or write to another folder; --from branches from it"
        )


def record(folder: Folder, run: Run, inputs: Mapping[str, str], resources: Resources, step: int, origin: str) -> None:
    """Write run.json, or add this launch to it."""
    held = json.loads(folder.read("run.json")) if folder.exists("run.json") else {"launches": []}
    recipe = describe(run)
    launch = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "step": step,
        "from": origin,
        "resources": describe(resources),
        **surroundings(),
    }
    content = {
        "identity": identity(recipe, inputs),
        "recipe": recipe,
        "inputs": dict(inputs),
        "launches": [*held["launches"], launch],
    }
    folder.write("run.json", json.dumps(content, indent=1).encode())


def same_data(folder: Folder, run: Run) -> bool:
    """Whether another run read the same records in the same order, so that a position means the same in both."""
    held, ours = json.loads(folder.read("run.json"))["recipe"], describe(run)
    return all(held[name] == ours[name] for name in ("corpora", "frame", "batch", "slices", "seed"))


def surroundings() -> dict[str, Any]:
    """The code and the machine: commit, package versions, hardware."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    cuda = torch.cuda
    gpus = [cuda.get_device_name(i) for i in range(cuda.device_count())]
    hardware = {"cpu": _processor(), "cores": os.cpu_count(), "gpus": gpus}
    return {"git": _git(), "versions": versions, "hardware": hardware}


def _git() -> dict[str, Any] | None:
    """The commit of the code that runs, and whether it is all of it; None where the code is no checkout."""
    ask = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*ask, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "clean": not changes.strip()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
