"""What made a step's figures non-finite: which terms, and which records.

The step is run again without an update, one record of each process at a time, and that twice over, as the variance of
one is not finite. All processes do so together, as losses may gather. A term that looks across processes is non-finite
on all of them for one bad record, so with W processes up to W records can be named for one.
"""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from jaxtyping import Int64
from torch import Tensor

from ecgfm.batch import Batch, locate
from ecgfm.train.engine import Engine

_SHOWN = 8


def explain(engine: Engine, batch: Batch, seed: int, corpora: Mapping[str, int]) -> str:
    """Terms and records, by corpus, shard and row."""
    whole = _sound(engine, batch, seed)
    everywhere = engine.mean(torch.tensor([float(sound) for sound in whole.values()], device=engine.device)).tolist()
    bad = [name for name, sound in zip(whole, everywhere, strict=True) if sound < 1]
    if not bad:
        return "the gradient as a whole, though that of each term is finite"
    alone = [_sound(engine, batch[torch.tensor((row, row))], seed) for row in range(len(batch))]
    guilty = torch.tensor([not all(sound[name] for name in bad) for sound in alone])
    records = _gather(engine, torch.where(guilty, batch.record, -1))
    named = [record for record in records if record >= 0]
    if len(named) in (0, len(records)):
        return f"{', '.join(bad)}; no one record alone does it, so it is the weights, or the batch as a whole"
    names = list(corpora)
    places = [f"{names[corpus]} shard {shard} row {row}" for corpus, shard, row in map(locate, named[:_SHOWN])]
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    return f"{', '.join(bad)}, through {', '.join(places)}{more}"


def _sound(engine: Engine, batch: Batch, seed: int) -> dict[str, bool]:
    """Whether each term, and its gradient, is finite on this process."""
    _, terms = engine(batch, seed)
    gradients = {name: engine.gradient_of(term) for name, term in terms.items()}
    return {n: bool(torch.isfinite(terms[n]) & torch.isfinite(gradient).all()) for n, gradient in gradients.items()}


def _gather(engine: Engine, records: Int64[Tensor, " B"]) -> list[int]:
    if engine.workers == 1:
        return records.tolist()
    records = records.to(engine.device)
    parts = [torch.empty_like(records) for _ in range(engine.workers)]
    dist.all_gather(parts, records)
    return torch.cat(parts).tolist()
