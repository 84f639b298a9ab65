"""A corpus on disk, in the layout of a published one, with the truths beside it."""

from importlib import import_module
from pathlib import Path
from typing import Literal, get_args

from ecgfm.data.synthetic import factors

Shape = Literal["mimic-iv-ecg", "ptb-xl", "cpsc-2018", "csn", "cinc-2021", "code-15", "code-test"]


def write(folder: Path, shape: str = "mimic-iv-ecg", records: int = 2000, seed: int = 0, pulse: bool = False) -> None:
    """Writes about so many recordings, whole subjects at a time, into an empty folder, and factors.parquet beside them.

    A smaller corpus of the same seed is the beginning of a larger one. `pulse` adds a pulse wave to each recording.
    """
    if shape not in get_args(Shape):
        raise ValueError(f"there is no shape {shape!r}; there are {', '.join(get_args(Shape))}")
    if pulse and shape != "mimic-iv-ecg":
        raise ValueError(f"a pulse wave is written into recordings of the shape mimic-iv-ecg only, not {shape}")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a new folder, or remove this one")
    folder.mkdir(parents=True, exist_ok=True)
    module = import_module(f"ecgfm.data.synthetic.shapes.{shape.replace('-', '_')}")
    options = {"with_pulse": True} if pulse else {}
    factors.write(folder, module.write(folder, seed, records, **options))
