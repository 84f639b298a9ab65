"""Make the shards of a corpus:  python jobs/shard.py ptb-xl --source /data/ptb-xl --to s3://bucket/shards/ptb-xl

Killed at any moment and run again, it goes on where it was. `--help` after the corpus's name shows all options.
"""

import logging
import sys
import time
from dataclasses import dataclass, field, make_dataclass
from difflib import get_close_matches
from importlib import import_module

import ray
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecgfm.data import shards
from ecgfm.data.layout import Layout
from ecgfm.data.sharding import Corpus, TooManyRefused, shard
from ecgfm.data.shards import Manifest
from ecgfm.data.sources import NAMES
from ecgfm.data.storage import Folder, StoreError, lasting

LISTED = 6  # of the records that have a copy in another split


@dataclass(frozen=True, kw_only=True)
class Job:
    corpus: Corpus
    source: str
    """The corpus as its publisher lays it out: a folder or an object-store URI."""
    to: str
    """Where the shards go: a folder or an object-store URI."""
    layout: Layout = field(default_factory=Layout)
    refused: float = 0.05
    """The share of refused records that is no error."""
    repair: bool = False
    """Hold every finished shard against its checksum too, and make the damaged ones again."""


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in NAMES:
        near = get_close_matches(name, NAMES, n=1)
        hint = f"no corpus {name!r}; did you mean {near[0]}?" if near else "give the name of a corpus first"
        print(f"{hint}\ncorpora: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    options = import_module(f"ecgfm.data.sources.{name.replace('-', '_')}").Corpus
    corpus = [("corpus", options, field(default_factory=options))]
    job = tyro.cli(make_dataclass("Job", corpus, bases=(Job,), frozen=True, kw_only=True), args=sys.argv[2:])
    ray.init(logging_level=logging.ERROR, log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        manifest, made = _shard(name, job)
    except (FileNotFoundError, StoreError, TooManyRefused, ValueError) as error:
        print(f"shard: {error}", file=sys.stderr)
        return 1
    refused = sum(shard.refused for shard in manifest.shards)
    verb = f"made {made} shards" if made else "nothing to do: the shards are finished"
    print(
        f"{verb}; {Folder(job.to)} holds {manifest.records} records in {len(manifest.shards)} shards, {refused} refused"
    )
    if said := _copies(Folder(job.to), manifest):
        print(f"shard: {said}", file=sys.stderr)
    return 0


def _copies(to: Folder, manifest: Manifest) -> str:
    """What is to be said of recordings that stand in more than one split, if there are any."""
    rows = shards.astray(shards.index(to, ["content", "split", "shard", "row"])).to_pylist()
    places = [f"{manifest.shards[row['shard']].name}, row {row['row']}" for row in rows[:LISTED]]
    places += [f"and {len(rows) - LISTED} more"] if len(rows) > LISTED else []
    if not rows:
        return ""
    return (
        f"{len(rows)} records have a copy in another split, under another subject ({'; '.join(places)}): "
        "a model would be tested on what it was trained on. The column path of those rows says which they are: take "
        "all but one of each out of the source, or give them one subject where the table is yours, and make the "
        "shards again in another folder"
    )


def _shard(name: str, job: Job) -> tuple[Manifest, int]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records, {task.fields[speed]:.0f}/s,"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"shards of {name}", total=None, speed=0.0)
        begun: list[tuple[float, int]] = []  # when the first shard came in, and how many records were read by then

        def show(read: int, total: int) -> None:
            now = time.monotonic()
            begun.append((now, read))
            speed = (read - begun[0][1]) / max(now - begun[0][0], 1e-9)
            progress.update(task, completed=read, total=total, speed=speed)

        return shard(name, job.corpus, Folder(job.source), lasting(job.to), job.layout, job.refused, job.repair, show)


if __name__ == "__main__":
    sys.exit(main())
