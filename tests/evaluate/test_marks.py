import numpy as np
from labelled import Made
from sklearn.metrics import roc_auc_score

from ecgfm.evaluate import marks, metrics, tasks
from ecgfm.evaluate.tasks import Task


def test_marks(made: Made):
    examined = tasks.read(Task(made.shards, made.table, least=8))
    test = examined.splits["test"]
    found = marks.marks(examined, metrics.resample(test.subject, 20))
    floor, ruler, ceiling = (float(metrics.macro(found[name])[0]) for name in ("floor", "ruler", "ceiling"))
    assert 0.6 < floor < ceiling
    assert 0.6 < ruler < ceiling
    assert test.severity is not None
    expected = [roc_auc_score(test.labels[:, i], test.severity[:, i]) for i in range(len(examined.names))]
    np.testing.assert_allclose(found["ceiling"][0], expected, atol=1e-6)
    assert "ceiling" not in marks.marks(tasks.read(Task(made.shards, "findings", 8)), metrics.resample(test.subject, 2))
