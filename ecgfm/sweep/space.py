"""What a sweep tries: fields of a recipe by dotted name, their values, and the trials that follow from them.

    objectives.fingerprint.pool.count=1,2,4,8      each of these
    objectives.fingerprint.terms.tcr=0.001..1      a range, to draw from: evenly in the logarithm, unless it touches 0

A trial is a recipe and a name. Which trials there are, and what they are called, follows from what is asked for alone,
so that the same words find the same folders again.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from itertools import islice, product
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ecgfm import draw
from ecgfm.run import Run, override, part

_HIDING = ("leads", "tokens", "words", "far", "keep", "masking")  # of methods and views: what is hidden
_MEASURING = ("loss", "distortion")  # of methods: how a term is measured
_WORDS = {"true": True, "false": False}
_DIGITS = 3  # of a drawn number: it stands in a folder's name
_TRIES = 100  # draws for each setting that has to differ from those before


@dataclass(frozen=True)
class Range:
    low: float
    high: float
    whole: bool = False

    @property
    def logarithmic(self) -> bool:
        return self.low > 0

    def at(self, share: float) -> int | float:
        """The number at a share in [0, 1) of the way."""
        if self.whole and not self.logarithmic:
            return math.floor(self.low + share * (self.high + 1 - self.low))
        if self.whole:  # each whole number owns the stretch up to the next
            return min(math.floor(self.low * ((self.high + 1) / self.low) ** share), int(self.high))
        if self.logarithmic:
            return float(f"{self.low * (self.high / self.low) ** share:.{_DIGITS}g}")
        return float(f"{self.low + share * (self.high - self.low):.{_DIGITS}g}")


@dataclass(frozen=True)
class Axis:
    path: str
    values: tuple[Any, ...] | Range


@dataclass(frozen=True)
class Trial:
    name: str
    setting: Mapping[str, Any]
    run: Run


def axes(run: Run, over: Sequence[str]) -> list[Axis]:
    """From "path=value,value" and "path=low..high", read as the recipe's own fields are."""
    found = [_axis(run, text) for text in over]
    if not found:
        raise ValueError("over which fields? Give --over path=value,value, as in --over optimizer.rates.ecg=1e-4,3e-4")
    twice = [path for path, times in Counter(axis.path for axis in found).items() if times > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} is given twice: name all its values in one --over")
    return found


def _axis(run: Run, text: str) -> Axis:
    path, equals, given = text.partition("=")
    if not (equals and given):
        raise ValueError(f"{text!r}: it should be path=value,value or path=low..high")
    kind = _kind(run, path)
    if path == "seed":
        raise ValueError("'seed' is swept with --seeds")
    low, dots, high = given.partition("..")
    if dots:
        return Axis(path, _range(kind, path, low, high))
    values = tuple(_parsed(kind, word, path) for word in given.split(","))
    if len(set(values)) < len(values):
        raise ValueError(f"{text!r}: a value is given twice")
    return Axis(path, values)


def _range(kind: Any, path: str, low: str, high: str) -> Range:
    ends = _parsed(kind, low, path), _parsed(kind, high, path)
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends) or ends[0] >= ends[1]:
        raise ValueError(f"{path!r}: {low}..{high} is no range of numbers from low to high")
    return Range(*ends, whole=all(isinstance(end, int) for end in ends))


def _kind(run: Run, path: str) -> Any:
    """The declared type of a field; of a mapping that says nothing, the type of the value that is there."""
    value, kind = run, Run
    for name in path.split("."):
        below = part(value, name, path)
        declared = get_type_hints(type(value))[name] if is_dataclass(value) else (*get_args(kind), Any, Any)[1]
        value, kind = below, type(below) if declared is Any else declared
    return kind


def _parsed(kind: Any, text: str, path: str) -> Any:
    for one in get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,):
        if one is NoneType and text.lower() == "none":
            return None
        if one is bool and text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if get_origin(one) is Literal and text in map(str, get_args(one)):
            return next(choice for choice in get_args(one) if str(choice) == text)
        if one in (int, float, str):
            try:
                return one(text)
            except ValueError:
                continue
    said = getattr(kind, "__name__", "") if isinstance(kind, type) else str(kind)
    raise ValueError(f"{path!r}: {text!r} is no value for it, which is {said}")


def unlike(over: Sequence[Axis], figure: str) -> str:
    """Why trials cannot be compared by a figure, and what to do; "" where they can.

    The loss is a sum of terms by their weights, so it means something else at every weight; where more is hidden, or
    where it is measured in another way, a term does as well.
    """

    def changes(axis: Axis) -> bool:
        if not isinstance(axis.values, Range) and len(axis.values) < 2:
            return False
        within = axis.path.startswith("objectives.") and axis.path.rpartition(".")[2] in (*_HIDING, *_MEASURING)
        return (".terms." in axis.path and figure == "held-out/loss") or (within and figure.startswith("held-out/"))

    paths = [axis.path for axis in over if changes(axis)]
    if not paths:
        return ""
    return (
        f"{figure} means something else for every value of {', '.join(paths)}: name a figure that does not, as with "
        "--watch CORPUS/SET --cadence.best CORPUS/SET/probe --cadence.best-is highest"
    )


def trials(run: Run, over: Sequence[Axis], seeds: int = 1, count: int | None = None) -> list[Trial]:
    """Every combination of the values, or `count` that are drawn; each with so many seeds, from the recipe's own on."""
    if seeds < 1 or (count is not None and count < 1):
        raise ValueError("a sweep has at least one trial and one seed")
    short = shortened([axis.path for axis in over])
    found = []
    for setting in _all(over) if count is None else _drawn(over, count, run.seed):
        changed = override(run, setting)
        words = ",".join(f"{short[path]}={_word(value)}" for path, value in setting.items())
        found += [
            Trial(f"{words},seed={seed}@1", setting, replace(changed, seed=seed))
            for seed in range(run.seed, run.seed + seeds)
        ]
    alike = [name for name, times in Counter(trial.name for trial in found).items() if times > 1]
    if alike:
        raise ValueError(f"two trials would be called {alike[0]!r}: give values that differ in letters and digits")
    return found


def _all(over: Sequence[Axis]) -> list[dict[str, Any]]:
    for axis in over:
        if isinstance(axis.values, Range):
            raise ValueError(f"{axis.path!r} is a range, of which there is no end: say with --trials how many to draw")
    return [dict(zip((axis.path for axis in over), values, strict=True)) for values in product(*_values(over))]


def _values(over: Sequence[Axis]) -> list[tuple[Any, ...]]:
    return [axis.values for axis in over if not isinstance(axis.values, Range)]


def _drawn(over: Sequence[Axis], count: int, seed: int) -> list[dict[str, Any]]:
    """Settings that differ. More of them begin with the same ones."""
    tries = (draw.generator("sweep", seed, number).random(len(over)) for number in range(_TRIES * count))
    settings = ({axis.path: _at(axis, share) for axis, share in zip(over, t.tolist(), strict=True)} for t in tries)
    found = [*islice({tuple(s.items()): s for s in settings}.values(), count)]
    if len(found) < count:
        raise ValueError(
            f"there are not {count} settings to draw, only {len(found)}: leave out --trials, or take fewer"
        )
    return found


def _at(axis: Axis, share: float) -> Any:
    return axis.values.at(share) if isinstance(axis.values, Range) else axis.values[int(share * len(axis.values))]


def shortened(paths: Sequence[str]) -> dict[str, str]:
    """Each dotted name by as many of its last parts as it takes to tell it from the others."""

    def last(path: str, parts: int) -> str:
        return ".".join(path.split(".")[-parts:])

    def enough(path: str) -> int:
        longest = len(path.split("."))
        others = [other for other in paths if other != path]
        return next((n for n in range(1, longest) if last(path, n) not in {last(o, n) for o in others}), longest)

    return {path: last(path, enough(path)) for path in paths}


def _word(value: Any) -> str:
    """A value as a part of a folder's name."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", text).strip("-") if isinstance(value, str) else text
