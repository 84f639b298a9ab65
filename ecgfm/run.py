"""What a run is: the recipe (`Run`), which decides every number, and `Resources`, which decide where they are computed.

A recipe is a value. Two recipes with the same `identity` give the same curve; how often a run is logged, evaluated and
saved, and which pool embeds, is part of the recipe but not of its identity, and neither are its resources.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Literal, TypeVar

Value = TypeVar("Value")

NO_IDENTITY = ("cadence", "embed")  # parts of a Run that leave its curve as it is


@dataclass(frozen=True)
class Frame:
    """What a run sees of a recording: so many seconds at so many samples per second. Decided here and nowhere else."""

    rate: int = 500
    """Samples per second."""
    seconds: float = 10.0
    """Longer recordings become windows drawn by record and epoch; shorter ones are padded, and padding is masked."""
    others: Mapping[str, int] = field(default_factory=lambda: {"ppg": 125})
    """Samples per second of channels of another kind, for methods that ask for them."""

    def of(self, kind: str) -> "Frame":
        """What is seen of channels of another kind: the same seconds at their own rate."""
        return Frame(self.others[kind], self.seconds)

    @property
    def samples(self) -> int:
        return round(self.rate * self.seconds)


@dataclass(frozen=True)
class Farthest:
    """False reports: one of the farthest of a record's own, as the paper chooses."""

    count: int = 64
    encoder: str = "google/flan-t5-small"
    """A frozen encoder on the Hugging Face hub or in a folder; "words": by the words they have in common."""


@dataclass(frozen=True)
class Band:
    """False reports whose likeness to the record's own lies in a band, weighted so that text alone tells nothing."""

    low: float = 0.0
    """Shares of all pairs of reports, in the order of their likeness."""
    high: float = 0.5
    encoder: str = "google/flan-t5-small"
    """A frozen encoder on the Hugging Face hub or in a folder; "words": by the words they have in common."""


@dataclass(frozen=True)
class Optimizer:
    """AdamW. Pretrained towers and new heads need rates of their own: with one for both, training can diverge."""

    rates: Mapping[str, float] = field(default_factory=lambda: {"ecg": 1e-4, "text": 1e-5, "heads": 1e-4})
    """Highest learning rate of each group of parameters."""
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    decay: float = 0.01
    """Weight decay; vectors and scalars (biases, norms, scales) have none."""
    clip: float | None = 1.0
    """Largest norm of the whole gradient; None: not clipped."""

    def __post_init__(self):
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"optimizer.clip={self.clip}: above 0, or None, which does not clip")


@dataclass(frozen=True)
class Schedule:
    """A linear warm-up, a plateau, a decline: shares of all steps. The decline takes what the other two leave."""

    warmup: float = 0.1
    hold: float = 0.0
    decline: Literal["exponential", "cosine"] = "cosine"
    first: float = 0.01
    """Where the warm-up begins, as a share of the highest rate."""
    last: float = 0.01
    """Where the decline ends."""

    def __post_init__(self):
        if min(self.warmup, self.hold) < 0 or self.warmup + self.hold > 1:
            raise ValueError(f"schedule.warmup={self.warmup} and hold={self.hold} are shares of one whole")
        if self.decline == "exponential" and not self.last > 0:
            raise ValueError(f"schedule.last={self.last}: an exponential comes to no end at 0; cosine does")


@dataclass(frozen=True)
class Cadence:
    """How often, in steps, and which checkpoints stay. Nothing here changes a curve."""

    log: int = 10
    save: int = 1000
    evaluate: int = 1000
    keep_last: int = 3
    """The newest checkpoints. With one alone, a damaged file would end the run."""
    keep_every: int | None = None
    """Checkpoints at multiples of this many steps stay for good."""
    best: str = "held-out/loss"
    """The figure of a watcher by which one checkpoint, the best, stays; every new best is saved."""
    best_is: Literal["lowest", "highest"] = "lowest"
    wandb: str | None = None
    """A project of Weights & Biases that is told the figures too (pip install wandb). None: nobody is."""

    def __post_init__(self):
        for name in ("log", "save", "evaluate", "keep_last", "keep_every"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"cadence.{name}={value}: at least 1")


@dataclass(frozen=True)
class Run:
    """A recipe: what is learnt, from what, and how."""

    towers: Any
    """The two encoders."""
    objectives: Mapping[str, Any]
    """What is learnt: the Config of each objective by its name."""
    batch: int
    """Records of a world batch, whatever the number of workers."""
    steps: int
    corpora: Mapping[str, int] = field(default_factory=dict)
    """Of every sum(shares) records, how many come from each corpus; one that is not named has a share of 1."""
    words: int = 256
    """Longest report, in words of the text model; of a longer one the rest is not read."""
    negatives: Farthest | Band | None = None
    """Which false reports are shown, to methods that ask for them."""
    frame: Frame = Frame()
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = Schedule()
    cadence: Cadence = Cadence()
    slices: int = 8
    """Slices of a world batch: any number of workers that divides it sees the same batches."""
    seed: int = 0
    embed: str = "summary"
    """The pool whose vectors `ecgfm.load(...).embed` gives, of those that the towers and the methods define."""

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"steps={self.steps}: a run makes at least one")
        if self.words < 1 or self.seed < 0:
            raise ValueError(f"words={self.words} are 1 or more, and seed={self.seed} is 0 or more")
        if self.batch < 1 or self.batch % self.slices:
            near = max(1, round(self.batch / self.slices)) * self.slices
            raise ValueError(
                f"a world batch of {self.batch} cannot be cut into {self.slices} slices of one size: {near} can"
            )

    @property
    def aligned(self) -> bool:
        """Whether a method lays the vectors of `embed` beside those of reports."""
        return self.embed in [getattr(method, "reports_pool", None) for method in self.objectives.values()]

    def step_seed(self, step: int) -> int:
        """The seed of all that is drawn in a step."""
        return self.seed << 32 | step

    def shrink(self, towers: Any, batch: int, steps: int) -> "Run":
        """The same method on a smaller scale; intervals shrink with the steps."""
        share = steps / self.steps
        intervals = {name: max(1, round(getattr(self.cadence, name) * share)) for name in ("log", "save", "evaluate")}
        return replace(self, towers=towers, batch=batch, steps=steps, cadence=replace(self.cadence, **intervals))


@dataclass(frozen=True)
class Resources:
    """Where a run is computed. In fp32 nothing here changes a curve beyond rounding."""

    workers: int = 1
    """Processes; each takes its share of every world batch."""
    launcher: Literal["ray", "here"] = "ray"
    """Ray Train starts the workers; or this process is the only one, or one of those that torchrun started."""
    engine: Literal["deepspeed", "torch"] = "deepspeed"
    stage: Literal[0, 1, 2, 3] = 0
    """What DeepSpeed's ZeRO divides among the workers: 0 nothing, 1 moments, 2 gradients too, 3 weights too. The
    paper's model takes 5 GB of a GPU with all of it, and dividing costs time (tools/compare_engines.py)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: GPUs where there are any."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: products in bfloat16, weights, gradients, sums and losses in fp32."""
    readers: int = 1
    """Threads per process that read ahead; under Ray, tasks that read at once for all workers together."""
    trainer_cpus: float = 0.5
    """Logical CPUs of a worker, of which Ray makes its threads. Half of one leaves a small machine one that reads."""
    negatives_cpus: float = 0.0
    """Logical CPUs of the service of false reports: none where it shares those of the others."""
    negatives_gpus: float = 0.0
    """A GPU of the service, or a part of one, up to the tenth that a worker leaves: for Farthest, with faiss-gpu in the
    place of faiss-cpu. (Not verified: written without a GPU.)"""
    patience: float | None = 60.0
    """Seconds that a step may take before its worker counts as hung; a start, a save, an evaluation may take ten times
    as many. None: for ever."""

    def cpus(self) -> dict[str, float]:
        """The logical CPUs that each part of a run holds under Ray. The drivers hold none: they only wait."""
        return {
            "workers": self.workers * self.trainer_cpus,
            "Ray Data": float(self.readers),
            "negatives": self.negatives_cpus,
        }


def override(value: Value, changes: Mapping[str, Any]) -> Value:
    """`value` with fields changed by dotted name: override(run, {"optimizer.rates.ecg": 1e-3})."""
    for path, new in changes.items():
        value = _changed(value, path.split("."), new, path)
    return value


def _changed(value: Any, path: list[str], new: Any, whole: str) -> Any:
    if not path:
        return new
    name, *rest = path
    changed = _changed(part(value, name, whole), rest, new, whole)
    return {**value, name: changed} if isinstance(value, Mapping) else replace(value, **{name: changed})


def part(value: Any, name: str, whole: str) -> Any:
    """The field `name` of `value`; where there is none, the error says what is wrong in the dotted name `whole`."""
    known = _parts(value)
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known) or 'none'}"
        raise ValueError(f"{whole!r}: {type(value).__name__} has no {name!r}; {hint}")
    return known[name]


def _parts(value: Any) -> dict[str, Any]:
    if is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in fields(value) if f.init}
    return dict(value) if isinstance(value, Mapping) else {}


def describe(value: Any) -> Any:
    """A recipe, or a part of one, as plain JSON. A dataclass says what it is, as an objective may be anybody's."""
    if is_dataclass(value):
        return {"is": f"{type(value).__module__}.{type(value).__name__}", **_described(_parts(value))}
    if isinstance(value, Mapping):
        return _described(value)
    if isinstance(value, tuple | list):
        return [describe(part) for part in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(
        f"a recipe is made of dataclasses, mappings, sequences, text and numbers, not {type(value).__name__}"
    )


def _described(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: describe(part) for name, part in parts.items()}


def rebuild(described: Any) -> Any:
    """What `describe` was given, from its JSON; sequences come back as tuples."""
    if isinstance(described, list):
        return tuple(rebuild(part) for part in described)
    if not isinstance(described, Mapping):
        return described
    parts = {name: rebuild(part) for name, part in described.items() if name != "is"}
    return _made(described["is"], parts) if "is" in described else parts


def _made(dotted: str, parts: Mapping[str, Any]) -> Any:
    module, _, name = dotted.rpartition(".")
    try:
        kind = getattr(import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise ValueError(f"a {dotted} is described, and there is no module {error.name!r} here: install it") from None
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise ValueError(f"a {dotted} is described, and {module} has no such dataclass here")
    if unknown := parts.keys() - {f.name for f in fields(kind)}:
        raise ValueError(f"a {dotted} is described with {min(unknown)!r}, which it does not have here")
    return kind(**parts)


def identity(recipe: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Equal when the curves must be: of a recipe as `describe` gives it, and the hashes of what it reads."""
    decides = {name: part for name, part in recipe.items() if name not in NO_IDENTITY}
    return hashlib.sha256(json.dumps([decides, dict(inputs)], sort_keys=True).encode()).hexdigest()


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Where two descriptions differ: ["batch: 64 -> 128", ...]."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return [] if old == new else [f"{name}: {old} -> {new}"]
    return [
        line
        for key in sorted({*old, *new})
        for line in differences(old.get(key, "absent"), new.get(key, "absent"), f"{name}.{key}".lstrip("."))
    ]
