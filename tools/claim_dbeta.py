"""What D-BETA learns at small scale, and what each part of it is worth: the record of the claims.

    python tools/claim_dbeta.py --name dbeta-small@1 --work demo/claim --records 12000 --steps 6000

Every arm is trained from every seed on the same subjects, and examined zero-shot and by probes on others. The arms:

    dbeta            as we train it
    random-reports   false reports drawn from those of all other records, in the place of N3S
    farthest         false reports drawn from the 64 farthest, as in the paper
    no-match         no false reports, and so no matching
    no-ets           without the contrast of embeddings
    heavy-masks      hides as much as the paper does, where dbeta_small hides less
    paper            to the letter of the paper
    shuffled         dbeta on shuffled reports: a control, which must learn nothing of them
    supervised       the same towers taught by the labels themselves: a mark (tools/supervised.py)

The same command goes on where it was stopped. It ends with jobs/records/<name>/: scorecard.md and .json, of dbeta
beside its controls; ablation.md, the arms side by side; and record.json, all of it with how it was made. --shards and
--labels put another corpus in the place of the synthetic one.
"""

import json
import logging
import math
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from supervised import taught

from ecgfm import recipes
from ecgfm.data import reader, shards
from ecgfm.data.storage import Folder
from ecgfm.data.synthetic import corpus
from ecgfm.embedder import Embedder, load
from ecgfm.evaluate import controls, metrics, scorecard, tasks
from ecgfm.evaluate.embed import Vectors
from ecgfm.evaluate.examine import METRICS, Found, examine
from ecgfm.evaluate.marks import marks
from ecgfm.evaluate.metrics import Weights, figure, macro
from ecgfm.evaluate.tasks import Examined, Task
from ecgfm.model import local_t5
from ecgfm.negatives.stock import in_process
from ecgfm.run import Band, Resources, Run, describe, identity, override
from ecgfm.train.claim import surroundings
from ecgfm.train.job import Job, Means, work

log = logging.getLogger("ecgfm")

REPOSITORY = Path(__file__).parent.parent
RECORDS = REPOSITORY / "jobs" / "records"
ARMS = ("dbeta", "random-reports", "farthest", "no-match", "no-ets", "heavy-masks", "paper", "shuffled", "supervised")
WAYS = ("zero-shot", "probe 1 %", "probe 10 %", "probe 100 %")


@dataclass(frozen=True)
class Options:
    name: str
    """Of the record, name@version."""
    work: Path
    """Where corpus, shards and runs are kept."""
    records: int = 12_000
    """Of the synthetic corpus; a tenth of the subjects to choose by, 15 % to examine on."""
    steps: int = 3000
    batch: int = 32
    heads: int = 2
    """The dial of the towers, and of the text encoder, which is made from the training reports."""
    rate: float = 1.5e-3
    """Highest learning rate, of all arms."""
    seeds: tuple[int, ...] = (0, 1, 2)
    arms: tuple[str, ...] = ARMS
    untrained: int = 10
    """Towers that nobody trained, as the other control."""
    shards: str | None = None
    labels: str | None = None
    """A label set of these shards, or a table."""
    least: int = 10
    """Test records that must have a label, and that must have it not, for it to be scored."""
    resources: Resources = field(default_factory=lambda: Resources(launcher="here", engine="torch"))


def main(options: Options) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    if "dbeta" not in options.arms or not {*options.arms} <= {*ARMS}:
        raise SystemExit(f"arms are {', '.join(ARMS)}, and dbeta must be among them")
    task = _task(options)
    examined = tasks.read(task)
    weights = metrics.resample(examined.splits["test"].subject)
    found: dict[str, list[Found]] = {}
    for seed in options.seeds:
        for arm in options.arms:
            run, folder = _arm(options, task, arm, seed), options.work / f"{arm}-{seed}@1"
            trained = partial(_trained, options, task, run, arm, folder)
            found.setdefault(arm, []).append(_kept(folder, _known_by(run, task), trained, examined, weights))
    first, device = options.work / f"dbeta-{options.seeds[0]}@1", options.resources.device
    known_by = _known_by(_arm(options, task, "dbeta", options.seeds[0]), task)
    for seed in range(options.untrained):
        towers = partial(controls.untrained, Folder(str(first)), seed, device)
        kept = _kept(options.work / f"untrained-{seed}", known_by, towers, examined, weights)
        found.setdefault("untrained", []).append(kept)
    _write(options, examined, found, marks(examined, weights))


def _task(options: Options) -> Task:
    """The labelled shards, made where they are not there yet."""
    if options.shards and options.labels:
        return Task(options.shards, options.labels, options.least)
    source, made = options.work / "corpus", options.work / "shards"
    if not (source / "factors.parquet").exists():
        corpus.write(source, records=options.records)
    if not (made / "manifest.json").exists():
        layout = ("--layout.valid", "0.1", "--layout.test", "0.15", "--refused", "0.1")
        command = [sys.executable, str(REPOSITORY / "jobs" / "shard.py"), "mimic-iv-ecg", *layout]
        subprocess.run([*command, "--source", str(source), "--to", str(made)], check=True)
    return Task(str(made), str(source / "factors.parquet"), options.least)


def recipe(options: Options, arm: str, seed: int, text: str) -> Run:
    """Of an arm; all share towers, text encoder, batch, steps and highest rate."""
    run = recipes.find(["dbeta_paper_small" if arm == "paper" else "dbeta_small"])
    run = replace(run.shrink(run.towers, options.batch, options.steps), seed=seed)
    rates = dict.fromkeys(run.optimizer.rates, options.rate)
    rare = {"cadence.log": 10, "cadence.save": max(1, options.steps // 5), "cadence.evaluate": options.steps}
    changes = {"towers.heads": options.heads, "towers.text.name": text, "optimizer.rates": rates, **rare}
    if arm != "paper":
        changes["objectives.dbeta.bias"] = -math.log(options.batch - 1)
    without = {"no-match": "etm", "no-ets": "ets"}.get(arm)
    if without:
        terms = run.objectives["dbeta"].terms
        changes["objectives.dbeta.terms"] = {name: weight for name, weight in terms.items() if name != without}
    if arm == "no-match":
        changes["objectives.dbeta.far"] = 0.0
    if arm == "heavy-masks":
        published = recipes.find(["dbeta"]).objectives["dbeta"]
        changes |= {"objectives.dbeta.leads": published.leads, "objectives.dbeta.tokens": published.tokens}
    if arm == "random-reports":
        changes["negatives"] = Band(0.0, 1.0, encoder="words")
    if arm == "farthest":
        changes["negatives"] = recipes.find(["dbeta_paper_small"]).negatives
    return override(run, changes)


def _arm(options: Options, task: Task, arm: str, seed: int) -> Run:
    run = recipe(options, arm, seed, _text_model(options, task.folder))
    return taught(run, task) if arm == "supervised" else run


def _known_by(run: Run, task: Task) -> str:
    return identity(describe(run), {"shards": task.manifest.sha256})


def _trained(options: Options, task: Task, run: Run, arm: str, folder: Path) -> Embedder:
    source = task.shards
    if arm == "shuffled":
        source = str(options.work / "shuffled")
        if not Folder(source).exists("manifest.json"):
            controls.shuffle_reports(task.folder, Folder(source))
    means = Means(partial(reader.read, threads=options.resources.readers), in_process, lambda _: None, None)
    work(Job(run, (source,), str(folder), resources=options.resources), means, lambda run, engine: {})
    return load(str(folder), options.resources.device)


def _text_model(options: Options, folder: Folder) -> str:
    """A small T5 whose tokenizer has seen the training reports."""
    made = options.work / f"t5-{options.heads}"
    if not (made / "tokenizer.json").exists():
        table = shards.table(folder, "reports.parquet", ["text", "train"])
        texts = [text for text, uses in zip(*(c.to_pylist() for c in table.columns), strict=True) if uses]
        local_t5.make(texts, made, options.heads)
    return str(made)


def _kept(folder: Path, known_by: str, towers: Callable[[], Embedder], examined: Examined, weights: Weights) -> Found:
    """What is found of towers, from the file in their folder where it has been found before; refused where that is of
    another run."""
    file = folder / "found.safetensors"
    if not file.exists():
        log.info("%s: to be trained and examined", folder.name)
        found = examine(Vectors(towers()), examined, weights)
        folder.mkdir(parents=True, exist_ok=True)
        flat = {f"{w}/{m}/{i}": a for w, by in found.items() for m, seeds in by.items() for i, a in enumerate(seeds)}
        partial_ = file.with_suffix(".partial")
        save_file(flat, partial_, {"run": known_by})
        partial_.replace(file)
    with safe_open(file, "np") as held:
        if held.metadata()["run"] != known_by:
            raise ValueError(f"{folder} holds the figures of another run: remove it, or give another --work")
    flat = load_file(file)
    named = {name.rsplit("/", 1)[0] for name in flat}
    seeds = {
        name: tuple(flat[f"{name}/{i}"] for i in range(sum(n.startswith(f"{name}/") for n in flat))) for name in named
    }
    return {way: {metric: seeds[f"{way}/{metric}"] for metric in METRICS} for way in WAYS if f"{way}/auc" in seeds}


def _write(
    options: Options, examined: Examined, found: Mapping[str, Sequence[Found]], between: scorecard.Marks
) -> None:
    to, title = Folder(str(RECORDS / options.name)), f"D-BETA at small scale: {options.name}"
    how = surroundings()  # now: the record's own files make the tree unclean
    failing = {"untrained towers": found["untrained"], "shuffled reports": found.get("shuffled", ())}
    card = scorecard.card(examined, between, found["dbeta"], {name: runs for name, runs in failing.items() if runs}, {})
    scorecard.write(to, title, [card])
    arms = {arm: compared(found["dbeta"], found[arm]) for arm in options.arms}
    to.write("ablation.md", _page(title, arms).encode())
    record = {"command": shlex.join(["python", *sys.argv])}
    record |= {"options": describe(replace(options, work=str(options.work))), "shards": examined.task.manifest.sha256}
    record |= {"card": card, "arms": arms, **how}
    to.write("record.json", json.dumps(record, indent=1).encode())
    log.info("%s holds the record", to)
    for what in scorecard.failed([card]):
        log.warning("does not fail as it must: %s", what)


def compared(ours: Sequence[Found], theirs: Sequence[Found]) -> dict[str, dict]:
    """An arm's macro AUC in every way, and dbeta's less it: of the same seeds, on the same draws of subjects."""

    def mean(found: Found, way: str) -> np.ndarray:
        return np.mean([macro(array) for array in found[way]["auc"]], axis=0)

    rows = {}
    for way in (way for way in WAYS if way in theirs[0]):
        differences = [mean(a, way) - mean(b, way) for a, b in zip(ours, theirs, strict=True)]
        rows[way] = {
            "auc": figure([mean(f, way) for f in theirs]).json(),
            "dbeta is better by": figure(differences).json(),
        }
    return rows


_PREFACE = """Each cell: the AUC on test subjects, a mean over labels and seeds; in brackets what dbeta has more, and a
95 % interval of that, over subjects and seeds."""


def _page(title: str, arms: Mapping[str, Mapping[str, dict]]) -> str:
    lines = [f"# {title}: what each part is worth\n", f"{_PREFACE}\n"]
    lines += [f"| arm | {' | '.join(WAYS)} |", f"|{'---|' * (len(WAYS) + 1)}"]
    for arm, rows in arms.items():
        cells = [_cell(rows[way], arm) if way in rows else "" for way in WAYS]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _cell(row: Mapping[str, dict], arm: str) -> str:
    more = row["dbeta is better by"]
    difference = "" if arm == "dbeta" else f" ({more['value']:+.3f}, {more['low']:+.3f} to {more['high']:+.3f})"
    return f"{row['auc']['value']:.3f}{difference}"


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
