"""Methods. One is one file; the file's name is the method's name, and a user's own file is named by its dotted path.

A file gives
    Config       a frozen dataclass. Its fields, `terms` (name -> weight in the loss) and the method's own knobs, are
                 options of the command line and stand in run.json. Beside them, best as properties, also when empty:
                 `columns`  a tuple of what it needs beside the signal: any of "text", "far" (a report to swap in),
                            "visits" (two visits of a subject side by side), and kinds of other channels ("ppg";
                            ecgfm.data.record.OTHERS). Without "text" a run needs no text model
                 `pools`    name -> pool over the ECG's tokens that it wants built in the towers
                            (Project, Queries of model/pool.py, Aggregate of model/aggregate.py); name it after your
                            method
                 `reports_pool`  optional: the pool whose vectors a loss lays beside those of reports, None where no
                            loss does. Zero-shot is examined where that pool embeds
                 `build(towers)`  the Objective; it reads the towers' sizes (`towers.config.width` of ECG tokens and of
                            a Project's vectors, `towers.text.width` of words), and keeps no reference to the towers
    Objective    an nn.Module with `forward(seen: Encoded) -> dict[str, Tensor]`: the terms declared, scalars in fp32,
                 of which the mean over ranks is that of the world batch. Under autocast a product is bf16 again even of
                 fp32 factors: put those of a loss under torch.autocast(device, enabled=False)
                 Where it draws the signal, `guess(seen) -> Guess | None` (parts/decoder.py) lets `ecgfm draw` show it
    SPREADING    optional: the names of the terms that cost more when all vectors are one than when they are random, in
                 each view others. Without it the contract does not look at collapse. A contrast at a low temperature is
                 not among them: random vectors cost it more

`seen` (model/encoded.py) is the batch through the towers, and computes each view once for all who ask. A view is a
value (model/views.py): EcgView(leads=0.5, tokens=0.75, draw=1) hides each lead with that chance and drops that share
of the patches, and another `draw` draws anew; TextView likewise for reports. `seen.embed(view, pool)` gives a pool's
vectors, `seen.embed(TextView())` those of reports, `seen.ecg(view)` and `seen.text(view)` tokens, `seen.signal`
millivolts and patches, `seen.uniform(purpose, count)` random numbers for each record: torch's own would differ where a
run goes on.

What looks across the world batch goes through losses/gather.py: `gather` for rows, `summed` for moments, `total` for
counts. A term made of these is the same on every rank, and no factor is needed. A BatchNorm sees its own rank only.

tests/objectives/test_contract.py holds every file here to this, and any other by --objective mypackage.mymethod.
Scalar parameters have shape (1,): DeepSpeed fails on those without a dimension.
"""

import difflib
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any

from ecgfm.data.record import OTHERS

_COLUMNS = ("text", "far", "visits", *OTHERS)


def names() -> list[str]:
    """The methods that come with the package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def find(name: str) -> ModuleType:
    """A method's module, by its name here or by a dotted path from anywhere."""
    if "." in name:
        return import_module(name)
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}; yours by its dotted path"
        raise ValueError(f"no method {name}: {hint}")
    return import_module(f"{__name__}.{name}")


def check(name: str, config: Any) -> None:
    """Whether it is a Config, as far as that can be told before a step."""
    if lacking := [part for part in ("terms", "columns", "pools", "build") if not hasattr(config, part)]:
        raise ValueError(f"{name}: its Config has no {', '.join(lacking)} (ecgfm/objectives/__init__.py)")
    if unknown := set(config.columns) - set(_COLUMNS):
        raise ValueError(f"{name} needs {', '.join(sorted(unknown))}: there are {', '.join(_COLUMNS)}")
