"""The watcher on towers without training, in one process and in two."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import ranks
import torch
from labelled import Made
from sklearn.metrics import roc_auc_score
from toy import RUN

from ecgfm.data.storage import Folder
from ecgfm.embedder import Embedder
from ecgfm.evaluate import embed, metrics, probe, tasks, watch, zeroshot
from ecgfm.evaluate.tasks import Task
from ecgfm.model import saved
from ecgfm.run import Optimizer
from ecgfm.train.engine import TorchEngine


def looked(made: Made, folder: str, asked: Sequence[str]) -> dict[str, dict[str, float]]:
    held = saved.read(Folder(folder))
    aligned = SimpleNamespace(reports_pool="summary", terms={}, columns=("text",), pools={}, build=None)
    run = replace(RUN, objectives={"aligned": aligned}, towers=held.card.towers, frame=held.card.frame, words=32)
    model = torch.nn.ModuleDict({"towers": held.towers})
    engine = TorchEngine(model, {"ecg": [*model.parameters()]}, Optimizer(rates={"ecg": 1e-3}))
    with torch.no_grad():
        watchers = watch.watchers([made.shards], asked, run, engine)
        return {name: dict(see(3, engine.model)) for name, see in watchers.items()}


def test_figures_of_held_out_subjects(made: Made, towers: str, embedder: Embedder):
    (figures,) = looked(made, towers, [made.table]).values()
    assert figures.keys() == {"zero-shot", "probe"}
    valid, enough = watch.looked_at(tasks.read(Task(made.shards, made.table, watch.LEAST)).splits["valid"])
    assert enough.sum() == valid.labels.shape[1]
    vectors = embed.embed(embedder, Folder(made.shards), valid.record)
    scores = probe.quick(vectors, valid.labels, valid.subject)
    expected = metrics.macro(metrics.auc(scores, valid.labels, np.ones((len(valid), 1), np.float32)))[0]
    assert figures["probe"] == pytest.approx(expected, abs=1e-3)


def test_labels_without_a_prompt_have_no_zero_shot(
    made: Made, towers: str, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watch, "LEAST", 2)
    task = Task(made.shards, made.table, watch.LEAST)
    examined, written = tasks.read(task), zeroshot.prompts(task)
    valid, enough = watch.looked_at(examined.splits["valid"])
    names = [name for name, is_enough in zip(examined.names, enough, strict=True) if is_enough]
    vectors = embed.embed(embedder, Folder(made.shards), valid.record)
    scores = zeroshot.scores(embedder, vectors, names, written)
    areas = [roc_auc_score(has, score) for has, score in zip(valid.labels.T, scores.T, strict=True)]
    assert len(names) > 5
    odd = int(np.where([name in written.usual for name in names], 0, np.abs(np.array(areas) - 0.5)).argmax())
    few = zeroshot.Prompts({name: written.wordings[name] for name in ("", names[odd])})
    monkeypatch.setattr(zeroshot, "prompts", lambda task: few)
    assert looked(made, towers, [made.table])["made-up/factors"]["zero-shot"] == pytest.approx(areas[odd], abs=0.01)
    monkeypatch.setattr(zeroshot, "prompts", lambda task: zeroshot.Prompts({"": written.wordings[""]}))
    assert looked(made, towers, [made.table])["made-up/factors"].keys() == {"probe"}


def test_every_process_comes_to_the_figures_of_one(made: Made, towers: str):
    alone = looked(made, towers, [made.table])["made-up/factors"]
    one, other = ranks.run(2, looked, made, towers, [made.table])
    assert one == other
    assert one["made-up/factors"] == pytest.approx(alone, abs=5e-3)


def test_no_task_no_watcher(made: Made, towers: str):
    assert looked(made, towers, []) == {}
