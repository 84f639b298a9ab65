"""What the tiny recipes are run on, to hold them to something: a few dozen synthetic recordings with reports and pulse
waves, and a text model of their words."""

import logging
from pathlib import Path

import ray

from ecgfm import recipes
from ecgfm.data import shards, synthetic
from ecgfm.data.layout import Layout
from ecgfm.data.sharding import shard
from ecgfm.data.sources.mimic_iv_ecg import Corpus
from ecgfm.data.storage import Folder
from ecgfm.model import local_t5

RECIPES = [name for name in recipes.named() if name.endswith("_tiny")]
_RECORDS, _LAYOUT = 96, Layout(rows=24, chunk=8, valid=0.2, test=0.0)


def make(to: Path) -> list[str]:
    """Make it, where it is not there yet; the words of jobs/pretrain.py that train on it, in this process."""
    if not (to / "text").exists():
        synthetic.write(to / "corpus", records=_RECORDS, seed=1, pulse=True)
        if started := not ray.is_initialized():
            ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
        shard("mimic-iv-ecg", Corpus(), Folder(str(to / "corpus")), Folder(str(to / "shards")), _LAYOUT, limit=0.2)
        if started:
            ray.shutdown()
        reports = shards.table(Folder(str(to / "shards")), "reports.parquet", ["text"])["text"].to_pylist()
        local_t5.make(reports, to / "text", heads=2)
    here = ("--resources.launcher", "here", "--resources.engine", "torch", "--resources.device", "cpu")
    return ["--shards", str(to / "shards"), "--towers.text.name", str(to / "text"), "--cadence.log", "1", *here]
