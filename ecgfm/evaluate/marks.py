"""Marks between which a model is set: what simple measurements reach, what careful ones, and what can be reached.

floor     boosted trees on rate, intervals, P waves and the heights of leads, given all labels of MOST training records
ruler     the same trees, given Q, ST and T of every lead besides (ecgfm/data/synthetic/floor.py)
ceiling   an oracle that knows how severe each finding is; only tables of truths tell, real corpora have none

The trees learn from the records that a probe learns from, as they rise with the number of those: from the first MOST,
where there are more, since each has to be measured.
"""

import numpy as np
from jaxtyping import Float, Float64, Int64

from ecgfm.data import shards
from ecgfm.data.record import LEADS
from ecgfm.data.storage import Folder
from ecgfm.data.synthetic.floor import SIMPLE, features, trees
from ecgfm.evaluate.embed import stored
from ecgfm.evaluate.metrics import Weights, auc
from ecgfm.evaluate.tasks import Examined

MOST = 12_000  # training records that the trees learn from


def marks(examined: Examined, weights: Weights) -> dict[str, Float64[np.ndarray, "m k"]]:
    """AUC on the test records, per draw of `weights` and label."""
    train, test, folder = examined.splits["train"], examined.splits["test"], examined.task.folder
    known, asked = measured(folder, train.record[:MOST]), measured(folder, test.record)
    found = {}
    for name, width in (("floor", SIMPLE), ("ruler", known.shape[1])):
        columns = [trees(known[:, :width], has, asked[:, :width]) for has in train.labels[:MOST].T]
        found[name] = auc(np.stack(columns, axis=1), test.labels, weights)
    if test.severity is not None:
        found["ceiling"] = auc(test.severity, test.labels, weights)
    return found


def measured(folder: Folder, record: Int64[np.ndarray, "n"]) -> Float[np.ndarray, "n f"]:
    """The features of these records, at the rate at which they were recorded; a missing lead is flat."""
    rows: list = [None] * len(record)
    for index, row in stored(folder, record):
        ecg = shards.signal(row)
        signal = np.zeros((len(LEADS), ecg.samples.shape[1]), np.float32)
        signal[[LEADS.index(name) for name in ecg.names]] = ecg.physical()
        rows[index] = features(signal, ecg.rate)
    return np.stack(rows)
