"""What a run makes of one recording: what its methods fill in where they saw nothing, and where its tokens look."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure

from ecgfm.batch import record_id
from ecgfm.data import shards
from ecgfm.data.record import LEADS
from ecgfm.data.storage import Folder
from ecgfm.evaluate.embed import windows
from ecgfm.model import saved
from ecgfm.model.encoded import Encoded
from ecgfm.model.patches import PATCH
from ecgfm.model.pool import Bottleneck
from ecgfm.model.views import EcgView
from ecgfm.objectives.parts.decoder import Guess
from ecgfm.overlay import attention, drawn
from ecgfm.picture import ecg
from ecgfm.run import Run
from ecgfm.train.export import held
from ecgfm.train.pretraining import Pretraining, built

SHOWN = ("II", "V1", "V5")  # above the tokens


def of_run(home: Folder, folder: Folder, shard: str, row: int, step: int | None = None) -> dict[str, Figure]:
    """Pages by name: `<method>-drawn` for each method that draws, `<pool>-attention` for each pool of tokens.

    Of the recording the first window is seen. Its report is not read.
    """
    run, _, made, weights = held(home, step)
    model = Pretraining(built(run), run.objectives, pretrained=False)
    saved.fill(model, weights, f"checkpoint {made} of {home}")
    names = [one.name for one in shards.manifest(folder).shards]
    record = np.array([record_id(0, names.index(shard), row)])
    batch, _ = next(windows(folder, record, run.frame, model.towers.config.others))
    alone = replace(batch[:1], words=batch.words.new_zeros(1, 1))  # a place without a word: encoders fail on none
    return pages(model.eval(), Encoded(model.towers, alone, run.seed), run)


@torch.no_grad()
def pages(model: Pretraining, seen: Encoded, run: Run) -> dict[str, Figure]:
    """Of the first record that is seen."""
    found: dict[str, Figure] = {}
    rate, signal = float(run.frame.rate), seen.signal
    millivolts = signal.millivolts[0].cpu().numpy()
    there = [i for i, has in enumerate(signal.leads[0].tolist()) if has]
    names = tuple(LEADS[i] for i in there)
    for name, objective in model.objectives.items():
        make: Callable[[Encoded], Guess | None] | None = getattr(objective, "guess", None)
        if make and (made := make(seen)):
            taught, unseen = made.taught[0], made.ecg.dropped[0] | ~made.ecg.leads[0][:, None]
            guess = signal.restore(made.patches)[0].where(taught.repeat_interleave(PATCH), torch.nan)
            hidden = unseen.repeat_interleave(PATCH, dim=1)[there].cpu().numpy()
            paper = ecg(millivolts[there], rate, names)
            found[f"{name}-drawn"] = drawn(paper, guess[there].cpu().numpy(), hidden, rate, names)
    rows = [i for i in there if LEADS[i] in SHOWN] or there[:1]
    for name, pool in model.towers.pools.items():
        if isinstance(pool, Bottleneck):
            whole = seen.ecg()
            weight = pool.attention(whole.tokens, whole.mask, seen.time(EcgView()))[0, :, 1:]  # after the summary
            above = millivolts[rows], rate, [LEADS[i] for i in rows]
            found[f"{name}-attention"] = attention(*above, weight.cpu().numpy(), PATCH)
    return found
