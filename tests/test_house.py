"""The rules of the house that a script can see."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "ecgfm"
FILES = sorted(PACKAGE.rglob("*.py"))
# what a later room gives to an earlier one is passed in: imports go forward only
ROOMS = (
    ("batch", "draw", "run"),
    ("data",),
    ("picture", "overlay", "charts"),
    ("negatives",),
    ("model",),
    ("embedder",),
    ("losses",),
    ("objectives",),
    ("geometry",),
    ("train",),
    ("recipes",),
    ("evaluate",),
    ("sweep",),
    ("cli",),
)
AT_THE_RIM = {
    "ray": {
        *("data/stream.py", "data/sharding.py", "negatives/embed_on_ray.py", "negatives/service.py"),
        *("train/launch.py", "train/ended.py", "sweep/search.py"),
    },
    "deepspeed": {"train/zero.py"},
}
LONGEST_FILE, LONGEST_FUNCTION = 300, 40
MAY_BE_LONGER = {"train"}  # the loop


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def place(name: str) -> int:
    return next(i for i, rooms in enumerate(ROOMS) if name in rooms)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_forward(file: Path) -> None:
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    ours = {name.split(".")[1] for name in imports(file) if name.startswith("ecgfm.")}
    later = {name for name in ours if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()} - {own}
    assert own == "__init__" or {name for name in later if place(name) > place(own)} == set()


@pytest.mark.parametrize("package", AT_THE_RIM)
def test_engines_stay_at_the_rim(package: str) -> None:
    users = {str(file.relative_to(PACKAGE)) for file in FILES if package in {n.split(".")[0] for n in imports(file)}}
    assert users == AT_THE_RIM[package]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_and_functions_are_short(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > LONGEST_FUNCTION}
    assert long - MAY_BE_LONGER == set()


def test_nothing_is_unpickled() -> None:
    for file in FILES:
        assert not {"pickle", "joblib", "dill"} & {n.split(".")[0] for n in imports(file)}, file
        assert "torch.load" not in file.read_text(), file


def test_top_level() -> None:
    tracked = {path.name for path in REPOSITORY.iterdir() if not path.name.startswith(".")}
    ignored = {"demo", "runs", "build", "dist"}
    assert tracked - ignored <= {
        *("LICENSE", "README.md", "pyproject.toml"),
        *("cluster", "ecgfm", "jobs", "tests", "tools"),
    }
