"""run.json: what a run's folder holds. It keeps another recipe out, and says how each launch was made."""

import hashlib
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ecgfm.data.storage import Folder
from ecgfm.run import NO_IDENTITY, Resources, Run, describe, differences, identity
from ecgfm.train.lock import ClaimedError

log = logging.getLogger(__name__)

SHARDS, ORDER = "shards of ", "order"  # of the inputs, those that decide which record is where
_PACKAGE = Path(__file__).resolve().parents[1]
_PACKAGES = ("ecgfm", "torch", "ray", "deepspeed", "transformers", "numpy", "pyarrow", "safetensors")


def same_run(folder: Folder, run: Run, inputs: Mapping[str, str]) -> None:
    """Refuses a folder that holds another run. `inputs` are the hashes of what is read: shards, text model."""
    if not folder.exists("run.json"):
        return
    held = _read(folder)
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
    held = _read(folder) if folder.exists("run.json") else {"launches": []}
    recipe = describe(run)
    launch = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "step": step,
        "from": origin,
        "resources": describe(resources),
        "methods": own_methods(run),
        **surroundings(),
    }
    before = held["launches"][-1].get("methods", {}) if held["launches"] else {}
    for module in (module for module, file in launch["methods"].items() if before.get(module, file) != file):
        log.warning("%s was changed since the last launch: this run goes on with another method than it began", module)
    content = {
        "identity": identity(recipe, inputs),
        "recipe": recipe,
        "inputs": dict(inputs),
        "launches": [*held["launches"], launch],
    }
    folder.write("run.json", json.dumps(content, indent=1).encode())


def own_methods(run: Run) -> dict[str, str]:
    """The hashes of the files of methods that are not the package's: no commit and no `tree` names them."""
    modules = {type(config).__module__ for config in run.objectives.values()}
    files = {module: getattr(sys.modules[module], "__file__", None) for module in sorted(modules)}
    return {
        module: hashlib.sha256(Path(file).read_bytes()).hexdigest()
        for module, file in files.items()
        if file and not Path(file).resolve().is_relative_to(_PACKAGE)
    }


def same_data(folder: Folder, run: Run, inputs: Mapping[str, str]) -> bool:
    """Whether another run read the same records in the same order, so that a position means the same in both."""
    held, ours = _read(folder), describe(run)
    same = all(held["recipe"][name] == ours[name] for name in ("corpora", "frame", "batch", "slices", "seed"))
    return same and _read_in_order(held["inputs"]) == _read_in_order(inputs)


def _read_in_order(inputs: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in inputs.items() if name == ORDER or name.startswith(SHARDS)}


def _read(folder: Folder) -> dict[str, Any]:
    try:
        return json.loads(folder.read("run.json"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{folder}/run.json is damaged ({error}): put back a copy of it, or write to another folder. Nothing in "
            "this one was changed"
        ) from error


def surroundings() -> dict[str, Any]:
    """The code and the machine: commit, package versions, hardware.

    `tree` is what git calls the package's files, also where they lie in no checkout, as Ray's copy of a job's code: of
    its commit, `git rev-parse <commit>:ecgfm` is the same.
    """
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    cuda = torch.cuda
    gpus = [cuda.get_device_name(i) for i in range(cuda.device_count())]
    hardware = {"cpu": _processor(), "cores": os.cpu_count(), "gpus": gpus}
    return {"git": _git(), "tree": tree(_PACKAGE), "versions": versions, "hardware": hardware}


def _git() -> dict[str, Any] | None:
    """The commit of the code that runs, and whether it is all of it; None where the code is no checkout of ours."""
    ask = ["git", "-C", str(_PACKAGE)]
    try:
        top = subprocess.run([*ask, "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=True).stdout
        if Path(top.strip()).resolve() != _PACKAGE.parent:
            return None  # installed into a folder of somebody else's
        commit = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*ask, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "clean": not changes.strip()}


def tree(folder: Path) -> str:
    """The name that git gives to all files below a folder, but for what Python compiled."""
    entries = []
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            entries.append((f"{path.name}/", b"40000", tree(path)))
        elif path.is_file():
            mode = b"100755" if os.access(path, os.X_OK) else b"100644"
            entries.append((path.name, mode, _git_name(b"blob", path.read_bytes())))
    lines = [mode + b" " + name.rstrip("/").encode() + b"\0" + bytes.fromhex(of) for name, mode, of in sorted(entries)]
    return _git_name(b"tree", b"".join(lines))


def _git_name(kind: bytes, content: bytes) -> str:
    return hashlib.sha1(kind + b" %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
