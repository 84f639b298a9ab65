"""What watching the geometry costs: operations of the towers and of the spectra, against those of training.

    python tools/count_geometry.py dbeta fingerprint together

counts, on tensors without values, a training step of a recipe and a look at the loop's held-out batches, and gives the
share of the second in all, at the recipe's interval. What a look took, in seconds, stands in every run's metrics.jsonl
as time/watch/geometry.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from ecgfm import geometry, recipes
from ecgfm.batch import Batch
from ecgfm.data.plan import Position
from ecgfm.data.record import LEADS
from ecgfm.model import local_t5
from ecgfm.run import Run
from ecgfm.train.job import _HELD_OUT
from ecgfm.train.pretraining import Pretraining

RECORDS, WORDS = 16, 32


def share(run: Run, text: str) -> float:
    """Of a look in the steps from one to the next. `text` is a folder with a text model."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        towers = replace(run.towers, text=replace(run.towers.text, name=text))
        model, batch = Pretraining(towers, run.objectives, pretrained=False), blank(run.frame.samples)
        with FlopCounterMode(display=False) as step:
            model(batch, 1)[0].backward()
        with FlopCounterMode(display=False) as look, torch.no_grad():
            held = geometry.look(model.towers, [(batch, Position(1))])
    embeddings = len(held.pooled) + (held.report is not None)
    rows, width = _HELD_OUT * run.batch, run.towers.width
    # Of each embedding: four covariances of all rows, two spectra and three bases; the pairs of one batch.
    after = embeddings * (8 * rows * width**2 + (2 * 4 / 3 + 3 * 9) * width**3 + 2 * run.batch**2 * width)
    watched = look.get_total_flops() * rows / RECORDS + after
    return watched / (step.get_total_flops() / RECORDS * run.batch * run.cadence.evaluate)


def blank(samples: int) -> Batch:
    number, size = torch.arange(RECORDS), (RECORDS, len(LEADS))
    words, count = torch.full((RECORDS, WORDS), 5, dtype=torch.int32), torch.full((RECORDS,), WORDS, dtype=torch.int32)
    return Batch(
        record=number,
        subject=number,
        report=number,
        signal=torch.zeros(*size, samples, dtype=torch.int16),
        scale=torch.ones(size),
        offset=torch.zeros(size),
        leads=torch.ones(size, dtype=torch.bool),
        length=torch.full((RECORDS,), samples, dtype=torch.int32),
        words=words,
        word_count=count,
        far_report=number,
        far_words=words,
        far_word_count=count,
    )


def main(names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        local_t5.make(["sinus rhythm", "atrial fibrillation"], folder, heads=2)
        for name in names or ["dbeta"]:
            run = recipes.find([name])
            print(f"{name}: {share(run, folder):.2%} of the operations, every {run.cadence.evaluate} steps", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
