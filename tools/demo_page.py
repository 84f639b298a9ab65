"""Streams a shard folder as two workers of a training run would, and makes a page of what came through."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import ray
import tyro

from ecgfm import picture
from ecgfm.batch import Batch, locate
from ecgfm.cli import card
from ecgfm.data import reader, shards, stream
from ecgfm.data.record import LEADS
from ecgfm.data.storage import Folder
from ecgfm.run import Frame

BATCH, PICTURES = 32, 4

PAGE = """<!doctype html><meta charset="utf-8"><title>ecgfm</title>
<style>body{{font:16px/1.5 system-ui;max-width:1100px;margin:2em auto;padding:0 1em}}img{{width:100%}}
code{{background:#eee;padding:.1em .3em}}</style>
<h1>What just happened</h1>
<p>{records} recordings were read from WFDB files and kept in {count} shards of {megabytes:.1f} MB, {smaller:.1f} times
smaller than their 16-bit samples and equal to them in every bit. {refused} recordings were refused, each with a reason:
<code>demo/shards/refusals.parquet</code> lists them. Then {steps} batches of {batch} were streamed to two workers
through Ray Data, {rate:.0f} recordings per second.</p>
<img src="card.png" alt="the corpus on one page">
<h1>What came through the stream</h1>
{pictures}
<h1>With real data</h1>
<p><code>ecgfm/data/corpora.md</code> says how to obtain each corpus. Then, for MIMIC-IV-ECG:</p>
<pre>ecgfm verify /data/mimic-iv-ecg
python jobs/shard.py mimic-iv-ecg --source /data/mimic-iv-ecg --to /data/shards/mimic-iv-ecg
ecgfm card /data/shards/mimic-iv-ecg</pre>
"""


def streamed(opened: reader.Reader, steps: int) -> tuple[list[list[Batch]], float]:
    """What each of two workers saw, and how many records came per second, once the first had come."""
    parts = stream.dataset(opened, steps).streaming_split(2, equal=True)

    def worker(rank: int) -> Iterator[tuple[float, Batch]]:
        for batch, _ in stream.read(parts[rank], opened, steps, rank=rank, workers=2):
            yield time.monotonic(), batch

    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(lambda rank: list(worker(rank)), range(2)))
    times = sorted(when for worker in seen for when, _ in worker)
    return [[batch for _, batch in worker] for worker in seen], (steps - 1) * BATCH / (times[-1] - times[0])


def draw(batch: Batch, row: int, to: Path) -> str:
    """A record of a batch as a picture; the line of the page that shows it."""
    length, leads = int(batch.length[row]), batch.leads[row].numpy()
    millivolts = batch.signal[row] * batch.scale[row, :, None] + batch.offset[row, :, None]
    _, shard, place = locate(int(batch.record[row]))
    title = f"shard {shard}, row {place}"
    names = tuple(np.array(LEADS)[leads].tolist())
    picture.ecg(millivolts.numpy()[leads, :length], 500.0, names, title).savefig(to, dpi=120)
    return f'<img src="{to.name}" alt="{title}">'


def main(folder: tyro.conf.Positional[str], /, to: Path) -> None:
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    manifest = shards.manifest(Folder(folder))
    opened = reader.open_reader([folder], "train", BATCH, Frame(), slices=2, window=4)
    steps = opened.plan.orders[0].records // BATCH
    seen, rate = streamed(opened, steps)
    print(f"{steps} batches of {BATCH} on two workers, {rate:.0f} records/s")
    card(folder, to / "card.png")
    index = shards.index(Folder(folder), ["length", "leads"])
    raw = 2 * np.sum(np.array(index["length"]) * np.bitwise_count(np.array(index["leads"])))
    stored = sum(shard.bytes for shard in manifest.shards)
    page = PAGE.format(
        records=manifest.records,
        count=len(manifest.shards),
        megabytes=stored / len(manifest.shards) / 1e6,
        smaller=raw / stored,
        refused=sum(shard.refused for shard in manifest.shards),
        steps=steps,
        batch=BATCH,
        rate=rate,
        pictures="\n".join(draw(seen[i % 2][0], i // 2, to / f"ecg-{i}.png") for i in range(PICTURES)),
    )
    (to / "index.html").write_text(page)
    print(f"look at {to / 'index.html'}")


if __name__ == "__main__":
    tyro.cli(main)
