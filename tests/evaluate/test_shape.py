"""The geometry of test records' vectors, by geometry.py on the vectors themselves."""

import numpy as np
import pytest
import torch
from labelled import Made

from ecgfm import geometry
from ecgfm.data import shards
from ecgfm.data.storage import Folder
from ecgfm.embedder import Embedder
from ecgfm.evaluate import shape as shapes
from ecgfm.evaluate.embed import Vectors
from ecgfm.evaluate.shape import shape
from ecgfm.evaluate.tasks import Cohort, Examined, Task


@pytest.mark.parametrize("k", [1, 3])
def test_of_test_records(k: int, made: Made, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    n, d = 30, embedder.towers.config.width
    number = np.arange(n)
    folder = Folder(made.shards)
    rows = shards.read(folder, shards.manifest(folder).shards[0].name, [0, 1], ["report"])["report"].to_pylist()
    assert len(rows) >= n
    cohort = Cohort(number, number // 2, np.zeros((n, 1), bool))
    z = np.random.default_rng(0).normal(size=(n, k, d)).astype(np.float32) + 1
    model = Vectors(embedder)
    monkeypatch.setattr(model, "of", lambda folder, record: z[record].reshape(len(record), -1))
    found = shape(model, Examined(Task(made.shards, "findings"), ("a",), {"test": cohort}, {}))
    assert (found["n"], found["d"], found["k"]) == (n, d, k)
    mean, there = torch.from_numpy(z.mean(1)), torch.ones(n, dtype=torch.bool)
    expected = geometry.shape(mean, there) | geometry.slots(torch.from_numpy(z))
    expected["uniformity"] = geometry.uniformity(mean, there)
    there[:] = torch.tensor([report is not None and report >= 0 for report in rows[:n]])
    texts = shards.table(folder, "reports.parquet", ["text"])["text"].to_pylist()
    reports = embedder.embed_reports([texts[report] for report, has in zip(rows, there, strict=False) if has])
    expected |= geometry.between(mean[there], reports.float(), there[there])
    assert found == pytest.approx({"n": n, "d": d, "k": k} | {name: v.item() for name, v in expected.items()})
    assert ("cka" in found) == (k > 1)
    monkeypatch.setattr(geometry, "LEADING", 2)
    again = shape(model, Examined(Task(made.shards, "findings"), ("a",), {"test": cohort}, {}))
    of_pairs = geometry.drift(mean, torch.from_numpy(cohort.subject), torch.from_numpy(number))
    assert again.keys() - found.keys() == of_pairs.keys() == {"drift", "strangers"}
    assert again["drift"] == pytest.approx(of_pairs["drift"].item())
    monkeypatch.setattr(shapes, "MOST", 9)
    assert shape(model, Examined(Task(made.shards, "findings"), ("a",), {"test": cohort}, {}))["n"] == n
