"""Embed every distinct report once, for the choice of false reports:

    python jobs/negatives.py --shards s3://bucket/shards/mimic-iv-ecg --encoder google/flan-t5-small

Give the shard folders of all corpora of a run, in the run's order; the vectors are written into the first, where
jobs/pretrain.py looks for them. Killed at any moment and run again, it goes on where it was.
"""

import logging
import sys
from dataclasses import dataclass

import ray
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecgfm.data import shards
from ecgfm.data.storage import Folder, StoreError, lasting
from ecgfm.negatives.embed import lexical
from ecgfm.negatives.embed_on_ray import Work, check, embed
from ecgfm.negatives.stock import check_reports, texts
from ecgfm.negatives.vectors import file_name


@dataclass(frozen=True, kw_only=True)
class Job:
    shards: tuple[str, ...]
    """The shard folder of each corpus: paths or object-store URIs."""
    encoder: str = "google/flan-t5-small"
    """A frozen encoder on the Hugging Face hub or in a folder; "words": by the words they have in common."""


def main(arguments: list[str] | None = None) -> int:
    job = tyro.cli(Job, args=arguments, description=__doc__)
    try:
        folders = (*map(lasting, job.shards[:1]), *map(Folder, job.shards[1:]))  # the first is written into
        name, made = _embed(Work(folders, job.encoder))
    except KeyboardInterrupt:
        print("stopped; the same command goes on with the parts that are missing", file=sys.stderr)
        return 130
    except (FileNotFoundError, StoreError, ValueError) as error:
        print(f"negatives: {error}", file=sys.stderr)
        return 1
    print(f"{'made' if made else 'nothing to do:'} {name}")
    return 0


def _embed(work: Work) -> tuple[str, bool]:
    """The file of the vectors, and whether it was made now."""
    for folder in work.folders:
        shards.manifest(folder)  # or says what is missing
    check_reports(work.folders)
    said, home = texts(work.folders), work.folders[0]
    name = file_name(work.encoder, said)
    if home.exists(name):
        return f"{home}/{name}", False
    if work.encoder == "words":  # a matter of a minute or less
        lexical(said).write(home, name)
    else:
        check(work.encoder)
        _on_ray(work)
    return f"{home}/{name}", True


def _on_ray(work: Work) -> None:
    ray.init(logging_level=logging.ERROR, log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("parts of the reports", total=None)
        embed(work, lambda done, total: progress.update(task, completed=done, total=total))


if __name__ == "__main__":
    sys.exit(main())
