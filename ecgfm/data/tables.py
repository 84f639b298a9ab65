"""Publishers' tables: read by the columns they should hold, with a clear word where they do not."""

import difflib
from collections.abc import Iterable, Mapping

import pyarrow as pa
from pyarrow import csv

from ecgfm.data.storage import Folder

LAYOUTS = "ecgfm/data/corpora.md shows how each corpus lies on disk"


def read(source: Folder, name: str, columns: Mapping[str, pa.DataType]) -> pa.Table:
    """These columns of a csv file. Arrow's own errors quote the row at fault, so none of them is passed on."""
    if not source.exists(name):
        raise absent(source, name)
    form = csv.ParseOptions(newlines_in_values=True)
    wanted = csv.ConvertOptions(column_types=columns, include_columns=list(columns), strings_can_be_null=True)
    try:
        try:
            with source.file(name) as file:
                return csv.read_csv(file, parse_options=form, convert_options=wanted)
        except KeyError:
            with source.file(name) as file:
                found = csv.open_csv(file, parse_options=form).schema.names
    except pa.ArrowInvalid:
        typed = ", ".join(f"{column} ({kind})" for column, kind in columns.items())
        raise ValueError(
            f"{name} in {source} cannot be read as a csv table with {typed}; "
            "`ecgfm verify` compares it with the publisher's checksums"
        ) from None
    if not set(columns) & set(found):  # names, or a record: not told
        raise ValueError(
            f"{name} in {source} does not name {' or '.join(columns)} in its first line: is there a header line, with "
            "these names, and is the separator a comma?"
        )
    raise lacking(source, name, columns, found)


def absent(source: Folder, name: str) -> FileNotFoundError:
    return FileNotFoundError(f"no {name} in {source}: give the folder that holds it; {LAYOUTS}")


def lacking(source: Folder, name: str, columns: Iterable[str], found: list[str]) -> ValueError:
    """The error for a table that has not all of these columns: each with the nearest one that it has."""
    missing = {column: difflib.get_close_matches(column, found, n=1) for column in columns if column not in found}
    words = [f"{column!r}" + (f" (nearest: {near[0]!r})" if near else "") for column, near in missing.items()]
    return ValueError(f"{name} in {source} has no column {', '.join(words)}; it has {', '.join(found)}")
