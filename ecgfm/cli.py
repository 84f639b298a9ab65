"""The command `ecgfm`: looks at what lies on disk."""

# pyarrow makes its compute functions at run time, where a type checker cannot see them
# pyright: reportAttributeAccessIssue=false

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tyro
from rich.progress import track

from ecgfm import picture
from ecgfm.data import shards, sums, wfdb
from ecgfm.data.card import card as corpus_card
from ecgfm.data.quality import Refusal
from ecgfm.data.record import Signal
from ecgfm.data.storage import Folder, StoreError
from ecgfm.train import curves
from ecgfm.train.checkpoint import CheckpointError


def verify(folder: tyro.conf.Positional[str], /) -> int:
    """Hold every file of a shard folder, or of a corpus as it was downloaded, against its checksum.

    Args:
        folder: A folder or an object-store URI that holds manifest.json, or the publisher's SHA256SUMS.
    """
    where = Folder(folder)
    if not where.exists("manifest.json"):
        found = [
            (name, state) for name, state in track(sums.verify(where), "verifying", transient=True) if state != "ok"
        ]
        for name, state in found:
            print(f"{state}: {name}")
        print("every file is as it was published" if not found else f"{len(found)} files are not as published")
        return int(bool(found))
    manifest = shards.manifest(where)
    files = {shard.name: shard.sha256 for shard in manifest.shards} | manifest.tables
    damaged = [name for name in track(files, "verifying", transient=True) if shards.damaged(where, {name: files[name]})]
    for name in damaged:
        print(f"damaged: {name}")
    remedy = "run jobs/shard.py as before, with --repair: it makes these files again and leaves the others"
    print(f"{len(damaged)} of {len(files)} files are damaged; {remedy}" if damaged else f"{len(files)} files are whole")
    return int(bool(damaged))


def show(recording: tyro.conf.Positional[str], /, row: int = 0, to: Path = Path("ecg.png")) -> int:
    """Draw a recording as a 12-lead ECG.

    Args:
        recording: A WFDB record (path without extension), or a shard (path of a parquet file).
        row: Which row of the shard.
        to: The picture: .png, .pdf or .svg.
    """
    parent, _, name = recording.rpartition("/")
    ecg = _of_shard(Folder(parent or "."), name, row) if name.endswith(".parquet") else _of_wfdb(parent, name)
    title = f"{name}, row {row}" if name.endswith(".parquet") else name.removesuffix(".hea")
    picture.ecg(ecg.physical(), ecg.rate, ecg.names, title).savefig(to)
    print(f"drew {title} to {to}")
    return 0


def _of_wfdb(parent: str, name: str) -> Signal:
    return wfdb.read(Folder(parent or "."), name.removesuffix(".hea")).signals[0]


def _of_shard(folder: Folder, name: str, row: int) -> Signal:
    _check_row(folder, name, row)
    chunk, within = divmod(row, shards.manifest(folder).chunk)
    return shards.signal(shards.read(folder, name, [chunk], shards.ECG_COLUMNS).slice(within, 1).to_pylist()[0])


def _check_row(folder: Folder, name: str, row: int) -> None:
    rows = {shard.name: shard.rows for shard in shards.manifest(folder).shards}.get(name, 0)
    if not 0 <= row < rows:
        raise ValueError(f"{name} in {folder} has no row {row}: it has {rows} rows")


def card(folder: tyro.conf.Positional[str], /, to: Path = Path("card.png")) -> int:
    """Draw a shard folder on one page: how much there is, of what, of whom, and what was refused.

    Args:
        folder: A folder or an object-store URI that holds manifest.json.
        to: The picture: .png, .pdf or .svg.
    """
    where = Folder(folder)
    index = shards.index(where)
    length = pc.cast(index["length"], pa.float64())
    index = index.append_column("seconds", pc.divide(length, index["rate"]))
    index = index.append_column("lead_count", pa.array(np.bitwise_count(np.array(index["leads"]))))
    reports, refusals = (shards.table(where, f"{name}.parquet") for name in ("reports", "refusals"))
    reports = reports.filter(pc.greater(reports["count"], 0))  # those of refused records alone are not drawn
    corpus_card(shards.manifest(where).corpus, index, reports, refusals).savefig(to)
    print(f"drew {len(index)} records to {to}")
    return 0


def overlap(one: tyro.conf.Positional[str], other: tyro.conf.Positional[str], /) -> int:
    """Look for recordings that stand in two shard folders: what was trained on must not be tested on.

    Equal recordings are found by their samples, and so at one sampling rate only.

    Args:
        one: A folder or an object-store URI that holds manifest.json.
        other: Another one.
    """
    folders = [Folder(folder) for folder in (one, other)]
    tables = [shards.index(folder, ["content", "rate", "shard", "row", "split"]) for folder in folders]
    common = tables[0].join(tables[1], "content", right_suffix=" in the other", join_type="inner")
    splits = ["split", "split in the other"]
    for counted in common.group_by(splits).aggregate([([], "count_all")]).sort_by("split").to_pylist():
        print("{count_all} recordings of {split} are in {split in the other} of the other".format(**counted))
    unlike = [
        f"{count} recordings of {folder} at {rate:g} Hz could not be compared: {against} holds none at that rate"
        for folder, own, against, others in zip(folders, tables, folders[::-1], tables[::-1], strict=True)
        for rate, count in _rates(own).items()
        if rate not in _rates(others)
    ]
    print("\n".join([f"{len(common)} pairs of equal recordings" if len(common) else "no equal recordings", *unlike]))
    return int(bool(len(common) or unlike))


def _rates(index: pa.Table) -> dict[float, int]:
    """How many recordings there are at each rate."""
    return {found["values"]: found["counts"] for found in index["rate"].value_counts().to_pylist()}


def export(run: tyro.conf.Positional[str], /, step: int | None = None) -> int:
    """Write a run's towers as towers.safetensors and what belongs to it, into its folder, for ecgfm.load.

    Args:
        run: The folder of a run.
        step: Of which checkpoint; the newest, when left out.
    """
    from ecgfm.train.export import export as write  # the text model's library takes seconds, which the others spare

    print(f"{run} holds its towers as they were at step {write(Folder(run), step)}")
    return 0


def text_model(folder: tyro.conf.Positional[str], /, to: Path, heads: int = 4) -> int:
    """Make a small T5 encoder whose words are those of a corpus's reports, for where no hub can be reached.

    Its weights are random: it learns with the rest of a run that names it by --towers.text.name.

    Args:
        folder: A shard folder; its training reports are read.
        to: The encoder's folder.
        heads: Its size on the dial of the towers.
    """
    from ecgfm.model import local_t5  # takes seconds, which the others spare

    table = shards.table(Folder(folder), "reports.parquet", ["text", "train"])
    texts = [text for text, uses in zip(*(c.to_pylist() for c in table.columns), strict=True) if uses]
    if not texts:
        raise ValueError(f"{folder} holds no reports to learn words from")
    local_t5.make(texts, to, heads)
    print(f"{to} holds a text encoder: --towers.text.name {to}")
    return 0


def plot(runs: tyro.conf.Positional[tuple[str, ...]], /, to: Path = Path("curves.png")) -> int:
    """Draw the curves of runs side by side, with marks where a run was started again.

    Args:
        runs: The folders of runs.
        to: The picture: .png, .pdf or .svg.
    """
    curves.plot(runs).savefig(to)
    print(f"drew {len(runs)} runs to {to}")
    return 0


def draw(
    run: tyro.conf.Positional[str],
    shard: tyro.conf.Positional[str],
    /,
    row: int = 0,
    step: int | None = None,
    to: Path = Path(),
) -> int:
    """Draw what a run makes of a recording, its report unread: what its methods fill in, where its tokens look.

    Args:
        run: The folder of a run.
        shard: The path of a parquet file in a shard folder.
        row: Which row of the shard.
        step: Of which checkpoint; the newest, when left out.
        to: A folder for the pictures.
    """
    from ecgfm.evaluate.drawing import of_run  # takes seconds, which the others spare

    parent, _, name = shard.rpartition("/")
    _check_row(Folder(parent or "."), name, row)
    pages = of_run(Folder(run), Folder(parent or "."), name, row, step)
    if not pages:
        raise ValueError(f"{run} has no method that draws the signal, and no pool of tokens")
    to.mkdir(parents=True, exist_ok=True)
    for page, figure in pages.items():
        figure.savefig(to / f"{page}.png")
        print(f"drew {to / page}.png")
    return 0


def main() -> int:
    commands = {"verify": verify, "show": show, "card": card, "overlap": overlap, "plot": plot, "export": export}
    commands |= {"text-model": text_model, "draw": draw}
    try:
        return tyro.extras.subcommand_cli_from_dict(commands)
    except (FileNotFoundError, StoreError, ValueError, Refusal, CheckpointError) as error:
        print(f"ecgfm: {error}", file=sys.stderr)
        return 1
