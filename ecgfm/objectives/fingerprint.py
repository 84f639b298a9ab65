"""TS-Fingerprint: a recording as a few tokens that hold enough to draw it and do not repeat one another
(Li et al. 2026, 2605.00130).

Queries read the patches that were kept, whatever their number, and a decoder that sees nothing but their answers draws
the recording.

    mem     the dropped patches, from the tokens alone        squared error, all leads, normalised per lead
    kept    those that were read, likewise
    tcr     1 - R / highest, over the tokens of a record      0 at right angles
    slots   1 - R / highest, of each token over the world batch: tokens that are the same for every record cost most

R is the total coding rate (losses/rate.py). tcr alone can be met by tokens that differ from one another and not from
record to record; what tells the two apart is how a token varies over records, which `slots` spreads.

The paper's abstract gives the two parts, bottleneck and rate; a digest of it gives 8 tokens, 60 % masked and a squared
error. Not known are the rate's eps, its weight, whether it is taken per record or over the batch, and the decoder. Here
eps^2 is 0.5, that of MCR2's supervised runs, as smaller ones see more of the rounding of near tokens; the weight is
for an error of 1 where the mean is guessed. `pool` may be a `Project`: the mean or the first token, the paper's
controls, whose one vector has no redundancy and so no tcr.

Two things are ours, as without them mem stays that of the mean for hundreds of steps (jobs/LOG.md): a query begins at a
stretch of the recording of its own (`Queries.local`), and what was read is drawn as well as what was dropped, which can
be learnt before neighbours can be guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ecgfm.losses import rate
from ecgfm.losses.gather import world
from ecgfm.model.encoded import Encoded
from ecgfm.model.pool import Project, Queries
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView
from ecgfm.objectives.parts.decoder import Guess, TokenDecoder, squared_error

TERMS = ("mem", "kept", "tcr", "slots")
SPREADING = ("tcr",)
POOL = "fingerprint"


@dataclass(frozen=True)
class Config:
    terms: Mapping[str, float] = field(default_factory=lambda: {"mem": 1.0, "kept": 1.0, "tcr": 0.02})
    pool: Queries | Project = field(default_factory=Queries)
    leads: float = 0.0  # hidden
    tokens: float = 0.6  # dropped
    distortion: float = 0.5  # eps^2 of the rate

    columns: ClassVar = ()

    def __post_init__(self):
        unknown = set(self.terms) - set(TERMS)
        if unknown or not self.terms:
            raise ValueError(f"terms {sorted(self.terms)}: a fingerprint has {', '.join(TERMS)}, and needs one")

    @property
    def pools(self) -> dict[str, Any]:
        return {POOL: self.pool}

    @property
    def view(self) -> EcgView:
        return EcgView(leads=self.leads, tokens=self.tokens)

    def build(self, towers: Towers) -> "Objective":
        return Objective(self, towers)


class Objective(nn.Module):
    def __init__(self, config: Config, towers: Towers):
        super().__init__()
        self.config = config
        local = isinstance(config.pool, Queries) and config.pool.local
        self.decoder = TokenDecoder(towers.config, local) if {"mem", "kept"} & config.terms.keys() else None

    def forward(self, seen: Encoded) -> dict[str, Tensor]:
        c, terms = self.config, {}
        tokens = as_tokens(seen.embed(c.view, POOL))
        count, width = tokens.shape[1:]
        if guess := self.guess(seen):
            places = {name: which for name, which in self._places(seen).items() if name in c.terms}
            terms |= {name: squared_error(guess.patches, seen.signal, which) for name, which in places.items()}
        if "tcr" in c.terms:
            within = rate.within(tokens, c.distortion).mean()
            terms["tcr"] = 1 - within / rate.highest(count, width, c.distortion)
        if "slots" in c.terms:
            records = len(tokens) * world()
            terms["slots"] = 1 - rate.across(tokens, c.distortion).mean() / rate.highest(records, width, c.distortion)
        return terms

    def guess(self, seen: Encoded) -> Guess | None:
        """The recording, drawn from its tokens alone."""
        if self.decoder is None:
            return None
        tokens = as_tokens(seen.embed(self.config.view, POOL))
        taught = torch.stack([which for name, which in self._places(seen).items() if name in self.config.terms])
        return Guess(self.decoder(tokens, seen.signal.valid()), taught.any(0), seen.ecg(self.config.view))

    def _places(self, seen: Encoded) -> dict[str, Bool[Tensor, "B N"]]:
        dropped = seen.ecg(self.config.view).dropped
        return {"mem": dropped, "kept": seen.signal.valid() & ~dropped}


def as_tokens(pooled: Float[Tensor, "B *_"]) -> Float[Tensor, "B k D"]:
    """A pool's one vector is a fingerprint of one token."""
    return pooled.view(len(pooled), -1, pooled.shape[-1])
