"""Which false reports should a recording be paired with? Ways of choosing them, measured on reports:

    python tools/measure_negatives.py --ptb-xl ../shared/data/ptb-xl     PTB-XL's own reports
    python tools/measure_negatives.py --synthetic 20000                  reports of so many synthetic recordings
    python tools/measure_negatives.py --shards s3://bucket/shards        the training records of a shard folder

Reports are embedded from their words alone, or by a language model named with --encoder. What the columns mean stands
in ecgfm/negatives/measure.py, and what followed from the numbers in ecgfm/negatives/README.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from jaxtyping import Bool, Float16, Int32, Int64

from ecgfm.data import reports
from ecgfm.data.sources import ptb_xl
from ecgfm.data.storage import Folder
from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.data.synthetic.people import visits
from ecgfm.data.synthetic.report import report
from ecgfm.data.synthetic.shapes.mimic_iv_ecg import DIALECTS
from ecgfm.negatives.balance import balanced, bounds
from ecgfm.negatives.band import Band
from ecgfm.negatives.choose import Choice, choose
from ecgfm.negatives.embed import Encoder, lexical, neural
from ecgfm.negatives.index import FarIndex, FarLists
from ecgfm.negatives.measure import Variety, shortcut, show, true_after_all, variety

BANDS = ((0.0, 0.25), (0.0, 0.5), (0.0, 0.75), (0.25, 0.75), (0.5, 0.9))
ROWS = 160_000  # shown to each classifier, or one epoch and its examination
COLUMNS = (
    "choice",
    "AUC, text",
    "accuracy",
    "AUC, words",
    "AUC, length",
    "distinct",
    "effective",
    "top ten",
    "cosine",
    "true after all",
)


@dataclass(frozen=True)
class Said:
    """The distinct reports, which of them each record has, and what is found in it, where that is known."""

    texts: Sequence[str]
    reports: Int64[np.ndarray, "record"]
    found: Bool[np.ndarray, "record finding"] | None


def main(
    ptb_xl: str | None = None, synthetic: int | None = None, shards: str | None = None, encoder: str | None = None
) -> None:
    """Print a table.

    Args:
        ptb_xl: folder or URI of PTB-XL.
        synthetic: how many recordings to make reports for.
        shards: folder or URI of shards.
        encoder: hub name or folder of a Hugging Face encoder; without it, reports are embedded from their words alone.
    """
    given = [_of_ptb_xl(ptb_xl)] if ptb_xl else []
    given += [_of_synthetic(synthetic)] if synthetic else []
    given += [_of_shards(shards)] if shards else []
    if len(given) != 1:
        raise SystemExit("name one source of reports: --ptb-xl, --synthetic or --shards")
    said = given[0]
    embeddings = neural(said.texts, Encoder(encoder)) if encoder else lexical(said.texts)
    use = np.bincount(said.reports, minlength=len(said.texts)).astype(np.int32)
    index = FarIndex(embeddings.vectors, use)
    lists = FarLists(index, min(64, index.longest))
    print(f"{len(said.reports)} records embedded by {embeddings.model}")
    print(f"their reports: {_spoken(variety(said.reports))}")
    print(f"their far lists: {_spoken(variety(lists[said.reports].ravel().astype(np.int64)))}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for name, choice in _choices(embeddings.vectors, use, lists):
        print(f"| {name} | {_row(said, embeddings.vectors, choice)} |", flush=True)


def _choices(
    vectors: Float16[np.ndarray, "report d"], use: Int32[np.ndarray, "report"], lists: FarLists
) -> Iterator[tuple[str, Choice]]:
    yield "64 farthest", partial(choose, lists)
    even = np.sign(use)
    yield "any report", Band.of(vectors, even, -np.inf, np.inf).choose
    yield "any record's report", Band.of(vectors, use, -np.inf, np.inf).choose
    for low, high in BANDS:
        inside = bounds(vectors, use, low, high)
        name = f"{low} to {high}"
        yield f"{name}, any report", Band.of(vectors, even, *inside).choose
        yield f"{name}, any record's report", Band.of(vectors, use, *inside).choose
        yield f"{name}, balanced", balanced(vectors, use, low, high).choose


def _spoken(of: Variety) -> str:
    return f"{of.distinct} distinct, effective {of.effective:.0f}, top ten {of.top_ten:.2f}"


def _row(said: Said, vectors: Float16[np.ndarray, "report d"], choice: Choice) -> str:
    shown = show(choice, said.reports, max(2, 2 * round(ROWS / len(said.reports) / 2)))
    false, records = shown.report[~shown.true], shown.record[~shown.true]
    pairs = (vectors[rows].astype(np.float32) for rows in (false, said.reports[records]))
    cosine = np.einsum("nd,nd->n", *pairs).mean()
    used = variety(false)
    wrong = "" if said.found is None else f"{true_after_all(said.found, said.reports, shown):.3f}"
    cells = [f"{auc:.3f}" for auc in astuple(shortcut(said.texts, shown))]
    return " | ".join(
        (*cells, str(used.distinct), f"{used.effective:.0f}", f"{used.top_ten:.2f}", f"{cosine:+.3f}", wrong)
    )


def _of_ptb_xl(folder: str) -> Said:
    entries = ptb_xl.Corpus().entries(Folder(folder))
    entries = entries.filter(entries["report"].is_valid())
    codes = [set(dict(labels)["all"]) for labels in entries["labels"].to_pylist()]
    names = sorted(set().union(*codes))
    return _distinct(entries["report"].combine_chunks(), np.array([[name in c for name in names] for c in codes]))


def _of_synthetic(records: int) -> Said:
    """Sinus rhythm is no finding: a record without any is normal."""
    lines, found = [], []
    for visit in visits(0, records):
        lines.append(report(visit, DIALECTS[visit.rng("cart").integers(len(DIALECTS))]))
        found.append([visit.present[finding] for finding in FINDINGS if finding != "sinus_rhythm"])
    columns = [pa.array([line[i] if i < len(line) else None for line in lines], pa.string()) for i in range(18)]
    return _distinct(reports.join(columns), np.array(found))


def _of_shards(folder: str) -> Said:
    table = pq.read_table(Folder(folder).file("reports.parquet"))
    return Said(
        table["text"].to_pylist(),
        np.repeat(table["report_id"].to_numpy(), table["train"].to_numpy()).astype(np.int64),
        None,
    )


def _distinct(texts: pa.StringArray, found: Bool[np.ndarray, "record finding"]) -> Said:
    encoded = texts.dictionary_encode()
    return Said(encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64), found)


if __name__ == "__main__":
    tyro.cli(main)
