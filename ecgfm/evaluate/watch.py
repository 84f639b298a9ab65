"""A look at held-out subjects every so many steps of a run: zero-shot, and a quick probe.

These are the only labels near a run, and nothing is learnt from them. Validation records only, at most MOST, read once
and kept. Each process embeds its share and all gather all vectors, so every process comes to the same figures; and all
make equally many passes, even where recordings differ in length, as sharded weights are fetched together.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn
from transformers import AutoTokenizer

from ecgfm import draw
from ecgfm.batch import Batch
from ecgfm.embedder import Embedder
from ecgfm.evaluate import metrics, probe, tasks, zeroshot
from ecgfm.evaluate.embed import averaged, windows
from ecgfm.evaluate.tasks import Cohort, Task
from ecgfm.losses.gather import gather, rank, world
from ecgfm.model.saved import Card, Saved
from ecgfm.model.text import TextConfig
from ecgfm.model.towers import Towers
from ecgfm.run import Run
from ecgfm.train.engine import Engine
from ecgfm.train.loop import Watcher
from ecgfm.train.pretraining import built

MOST = 1000
LEAST = 5  # of these records that have a label, and that have it not, for it to count

Held = Sequence[tuple[Batch, Int64[Tensor, "_"]]]  # windows, and of which record each is


def watchers(uris: Sequence[str], asked: Sequence[str], run: Run, engine: Engine) -> dict[str, Watcher]:
    """One for each task that is asked for (tasks.find), by its name: mean AUCs, `probe` and `zero-shot`.

    Zero-shot is left out where no report was laid beside what embeds, or nobody has written prompts for these labels.
    """
    found = tasks.find(uris, asked, LEAST) if asked else []
    return {task.name: _watcher(task, run, str(engine.device)) for task in found}


def _watcher(task: Task, run: Run, device: str) -> Watcher:
    examined = tasks.read(task)
    cohort, enough = looked_at(examined.splits["valid"])
    names = tuple(name for name, is_enough in zip(examined.names, enough, strict=True) if is_enough)
    if not names:
        raise ValueError(f"{task.name}: no label is met {LEAST} times in the {len(cohort)} held-out records looked at")
    text, prompts = run.towers.text, zeroshot.prompts(task)
    asked = bool(prompts.wordings.keys() & {*names})
    tokenizer = AutoTokenizer.from_pretrained(text.name) if isinstance(text, TextConfig) else None
    held = [*windows(task.folder, cohort.record[own_share(len(cohort))], run.frame, built(run).others)]

    def see(step: int, model: nn.Module) -> Mapping[str, float]:
        towers = model.get_submodule("towers")
        assert isinstance(towers, Towers)
        card = Card(towers.config, run.frame, run.embed, run.aligned, run.words, "", step)
        embedder = Embedder(Saved(card, towers, tokenizer), device)
        vectors = embed_together(embedder, held, len(cohort))
        scores = {"probe": probe.quick(vectors, cohort.labels, cohort.subject)}
        if asked and zeroshot.reads(embedder):
            scores["zero-shot"] = zeroshot.scores(embedder, vectors, names, prompts)
        return {way: _mean(s, cohort.labels) for way, s in scores.items()}

    return see


def _mean(scores: Float[np.ndarray, "n k"], labels: Bool[np.ndarray, "n k"]) -> float:
    """AUC over the labels that have scores: one without a prompt has none."""
    areas = metrics.auc(scores, labels, np.ones((len(scores), 1), np.float32))
    return float(metrics.macro(np.where(np.isnan(scores).any(0), np.nan, areas))[0])


def looked_at(valid: Cohort) -> tuple[Cohort, Bool[np.ndarray, "k"]]:
    """At most MOST records of a split with the labels that are met often enough, and which of all labels those are."""
    rows = np.sort(draw.generator("looked at").permutation(len(valid))[:MOST])
    has = valid.labels[rows].sum(0)
    enough = np.minimum(has, len(rows) - has) >= LEAST
    return Cohort(valid.record[rows], valid.subject[rows], valid.labels[rows][:, enough]), enough


def own_share(records: int) -> Int64[np.ndarray, "s"]:
    """The rows of this process: as many for each, so that some come twice."""
    return np.arange(-(-records // world()) * world())[rank() :: world()] % records


def embed_together(embedder: Embedder, held: Held, records: int) -> Float32[np.ndarray, "n d"]:
    """The vectors of all records, in their order, in every process."""
    most = int(gather(torch.tensor([len(held)], device=embedder.device)).max())
    found = [embedder.embed_batch(held[min(i, len(held) - 1)][0]) for i in range(most)]
    own = averaged(((v, which) for v, (_, which) in zip(found, held, strict=False)), -(-records // world()))
    together = gather(torch.from_numpy(own).to(embedder.device)).view(world(), *own.shape)
    return together.transpose(0, 1).reshape(-1, own.shape[1])[:records].cpu().numpy()
