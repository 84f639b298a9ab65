"""Recipes: one function each, which returns a Run; one file per method. Small ones are shrinks of big ones.

    python jobs/pretrain.py dbeta --shards /data/shards/mimic-iv-ecg --to runs/dbeta@1

A recipe of your own is named by its dotted path, mypackage.recipes.mine: a function without arguments that returns a
Run, built anew or by `override` from one of these. The command line changes fields and keeps their kinds: a table of
embeddings (TableConfig) in the place of a text model, or Farthest in that of Band, takes a recipe of your own.

What a recipe costs and reaches is said where it was measured, and not before.
"""

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from importlib import import_module
from inspect import getmembers, isfunction
from typing import Any

from ecgfm import objectives
from ecgfm.run import Run


def named() -> dict[str, Callable[[], Run]]:
    """Every public function of the files here, but for those that scale."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__) if m.name != "scale"]
    return {
        name: made
        for module in modules
        for name, made in getmembers(module, isfunction)
        if made.__module__ == module.__name__ and not name.startswith("_")
    }


def find(names: Sequence[str]) -> Run:
    """A recipe by its name, or by the dotted path of a function that returns one; or methods, by name or dotted path,
    which are trained together as `dbeta` is.

    What embeds is a pool of theirs: one that is aligned with reports, if there is any; that of `dbeta` before others.
    """
    recipes = named()
    if len(names) == 1 and (made := recipes.get(names[0]) or _function(names[0])):
        return _run(names[0], made())
    known = [*recipes, *objectives.names()]
    for name in names:
        if "." not in name and name not in objectives.names():
            if name in recipes:
                raise ValueError(
                    f"{name} is a recipe and stands alone; methods to combine: {', '.join(objectives.names())}"
                )
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}; yours by its dotted path"
            raise ValueError(f"no recipe and no method {name!r}: {hint}")
    if not names:
        raise ValueError(f"which recipe, or which methods? There are {', '.join(known)}")
    called = [name.rpartition(".")[2] for name in names]
    if twice := {name for name in called if called.count(name) > 1}:
        raise ValueError(f"two methods are called {', '.join(sorted(twice))}: rename a module, or give it once")
    methods = {short: objectives.find(name).Config() for short, name in zip(called, names, strict=True)}
    for short, config in methods.items():
        objectives.check(short, config)
    alone = recipes["dbeta"]()
    pools = [pool for method in methods.values() for pool in method.pools]
    aligned = [pool for method in methods.values() if (pool := getattr(method, "reports_pool", None))]
    chosen = aligned or pools or [alone.embed]
    return replace(alone, objectives=methods, embed=alone.embed if alone.embed in chosen else chosen[0])


def _function(dotted: str) -> Callable[[], Any] | None:
    """None where the path is of something else, as that of a method's module is."""
    module, _, name = dotted.rpartition(".")
    found = getattr(import_module(module), name, None) if module else None
    return found if isfunction(found) else None


def _run(name: str, made: Any) -> Run:
    if not isinstance(made, Run):
        raise ValueError(f"{name} returns a {type(made).__name__}: a recipe returns an ecgfm.run.Run")
    return made
