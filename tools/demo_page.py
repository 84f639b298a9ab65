"""The page of tools/demo: what was read, how training went, what came of it, and what to type next."""

import json
from pathlib import Path

import numpy as np
import tyro
from matplotlib.figure import Figure

from ecgfm import load, picture
from ecgfm.cli import card
from ecgfm.data import shards
from ecgfm.data.storage import Folder
from ecgfm.evaluate.scorecard import MARKS
from ecgfm.train.curves import plot
from ecgfm.train.journal import rows

PICTURES = 3

PAGE = """<!doctype html><meta charset="utf-8"><title>ecgfm</title>
<style>body{{font:16px/1.5 system-ui;max-width:1100px;margin:2em auto;padding:0 1em}}img{{width:100%}}
code,pre{{background:#eee;padding:.1em .3em}}pre{{padding:1em;overflow:auto}}</style>
<h1>What just happened</h1>
<ol>
<li>{records} synthetic recordings were read from WFDB files and kept in {count} shards, {smaller:.1f} times smaller
than their 16-bit samples and equal to them in every bit. {refused} were refused, each with a reason:
<code>demo/shards/refusals.parquet</code>.</li>
<li>A Ray cluster with a token of its own, on the loopback address, took four jobs by <code>ray job submit</code>.</li>
<li>Every distinct report was embedded once, so that false reports can be chosen for matching.</li>
<li>Ray Data streamed {steps} batches of {batch} into two workers of Ray Train, which trained D-BETA with DeepSpeed; of
the time of a step, {waited:.0%} went into waiting for data. Killed at any moment, the same command goes on with the
same curve.</li>
<li>The towers were examined on subjects that they had not seen, beside untrained ones.</li>
</ol>
<p>It is a small model and a few minutes of training: what counts is that all of the way works.</p>
<h1>What came of it</h1>
<img src="scores.png" alt="scores between chance and ceiling">
<p><code>demo/dbeta@1/scorecard.md</code> has every number. One of the recordings as the towers see it:
<code>ecgfm.load("demo/dbeta@1").embed(millivolts, fs=500, leads=[…])</code> gave a vector of {width} numbers.</p>
<h1>How training went</h1>
<img src="curves.png" alt="curves">
<h1>The corpus</h1>
<img src="card.png" alt="the corpus on one page">
{pictures}
<h1>With real data</h1>
<p><code>ecgfm/data/corpora.md</code> says how to obtain each corpus. Then, for MIMIC-IV-ECG and eight GPUs:</p>
<pre>ecgfm verify /data/mimic-iv-ecg
submit="ray job submit --working-dir . --runtime-env jobs/runtime.yaml"
$submit -- python jobs/shard.py mimic-iv-ecg --source /data/mimic-iv-ecg --to /data/shards/mimic-iv-ecg
$submit -- python jobs/negatives.py --shards /data/shards/mimic-iv-ecg
$submit -- python jobs/pretrain.py dbeta --shards /data/shards/mimic-iv-ecg --to /data/runs/dbeta@1 \\
    --resources.workers 8 --resources.precision bf16 --resources.readers 4
$submit --entrypoint-num-gpus 1 -- python jobs/evaluate.py --run /data/runs/dbeta@1 --shards /data/shards/ptb-xl</pre>
"""


def scores(task: dict) -> Figure:
    """Mean AUCs with their intervals: the model in every way, its marks and its controls."""
    lines = [(MARKS[name], found, "C7") for name, found in task["marks"].items()]
    lines += [(f"model, {way}", found["auc"], "C0") for way, found in task["model"].items()]
    lines += [(f"{c['control']}, {c['way']}", c["auc"], "C3") for c in task["controls"]]
    figure = Figure(figsize=(9, 0.4 * len(lines) + 1), layout="constrained")
    axes = figure.subplots()
    for place, (_, found, colour) in enumerate(lines):
        axes.plot([found["low"], found["high"]], [place, place], color=colour)
        axes.plot(found["value"], place, "o", color=colour)
    axes.axvline(0.5, color="0.7", linewidth=0.8)
    axes.set_yticks(range(len(lines)), [name for name, *_ in lines])
    axes.invert_yaxis()
    axes.set_xlabel(
        f"mean AUC over {len(task['labels'])} findings, {task['records']['test']} recordings; 0.5 is chance"
    )
    return figure


def draw(folder: Folder, row: int, to: Path) -> str:
    """A record of the first shard as a picture; the line of the page that shows it."""
    first = shards.manifest(folder).shards[0].name
    ecg = shards.signal(shards.read(folder, first, [0], shards.ECG_COLUMNS).slice(row, 1).to_pylist()[0])
    picture.ecg(ecg.physical(), ecg.rate, ecg.names, f"{first}, row {row}").savefig(to, dpi=120)
    return f'<img src="{to.name}" alt="{first}, row {row}">'


def embedded(run: Path, folder: Folder) -> int:
    """How long the vector of a recording is."""
    first = shards.manifest(folder).shards[0].name
    ecg = shards.signal(shards.read(folder, first, [0], shards.ECG_COLUMNS).slice(0, 1).to_pylist()[0])
    return len(load(str(run)).embed(ecg.physical(), fs=ecg.rate, leads=ecg.names))


def main(demo: tyro.conf.Positional[Path], /) -> None:
    folder, run = Folder(str(demo / "shards")), demo / "dbeta@1"
    manifest = shards.manifest(folder)
    card(str(demo / "shards"), demo / "card.png")
    plot([str(run)]).savefig(demo / "curves.png", dpi=100)
    scores(json.loads((run / "scorecard.json").read_text())["tasks"][0]).savefig(demo / "scores.png", dpi=110)
    index = shards.index(folder, ["length", "leads"])
    raw = 2 * np.sum(np.array(index["length"]) * np.bitwise_count(np.array(index["leads"])))
    steps = [row for row in rows(Folder(str(run))) if "loss" in row]
    recipe = json.loads((run / "run.json").read_text())["recipe"]
    page = PAGE.format(
        records=manifest.records,
        count=len(manifest.shards),
        smaller=raw / sum(shard.bytes for shard in manifest.shards),
        refused=sum(shard.refused for shard in manifest.shards),
        steps=recipe["steps"],
        batch=recipe["batch"],
        waited=np.median([row["time/waited"] or 0 for row in steps]),
        width=embedded(run, folder),
        pictures="\n".join(draw(folder, i, demo / f"ecg-{i}.png") for i in range(PICTURES)),
    )
    (demo / "index.html").write_text(page)
    print(f"look at {demo / 'index.html'}; {run / 'scorecard.md'} has the numbers")


if __name__ == "__main__":
    tyro.cli(main)
