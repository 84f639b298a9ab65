"""How hard is the synthetic corpus? Floor and ceiling of every finding, on held-out subjects."""

import numpy as np
import tyro

from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.data.synthetic.floor import Measured, features, measure
from ecgfm.data.synthetic.people import visits
from ecgfm.data.synthetic.recording import record

GAIN, RATE = 200, 500


def main(records: int = 12000, seed: int = 0) -> None:
    """Print the table.

    Args:
        records: how many recordings; a quarter of the subjects is held out.
        seed: of the corpus.
    """
    rows, present, severity, subject = [], [], [], []
    for visit in visits(seed, records):
        millivolts = record(visit, RATE).digital(GAIN) / np.float32(GAIN)
        rows.append(features(millivolts.astype(np.float32), RATE))
        present.append([visit.present[f] for f in FINDINGS])
        severity.append([visit.severity[f] for f in FINDINGS])
        subject.append(visit.subject.index)
    x, labels, truth = np.stack(rows), np.array(present), np.array(severity)
    held = np.array(subject) % 4 == 0
    named = lambda columns: dict(zip(FINDINGS, columns.T, strict=True))  # noqa: E731
    found = measure(x[~held], named(labels[~held]), x[held], named(labels[held]), named(truth[held]))
    print(f"{len(x)} recordings of {len(set(subject))} subjects, {held.sum()} recordings held out\n")
    print("| finding | share | floor | ruler | oracle |\n|---|---|---|---|---|")
    for finding, auc in found.items():
        print(f"| {finding} | {labels[:, FINDINGS.index(finding)].mean():.3f} | {_cells(auc)} |")
    print(f"| macro | | {_cells(Measured(*np.mean(list(found.values()), axis=0)))} |")


def _cells(auc: Measured) -> str:
    return " | ".join(f"{value:.3f}" for value in auc)


if __name__ == "__main__":
    tyro.cli(main)
