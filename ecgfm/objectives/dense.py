"""Dense features: embeddings that fill their space evenly and stay where they are (Zhang et al., 2602.07706).

    balance        every direction holds as much as any other           losses/spectrum.py
    orthogonality  no feature repeats another                           losses/spectrum.py
    consistency    two visits of a patient lie in the same directions   losses/subspace.py

Each is a function of second moments of the world batch, so neither labels nor a decoder are needed, and one
covariance serves the first two. Any of them can be trained alone, together, or beside other methods: `pool` names whose
vector it is, and with the views of another method no further pass is made. A pool of several vectors per record is
looked at through their mean, which is what downstream is given.

`of` says which vectors: of the ECG, of the report, or of a record as a whole, which is the direction of the sum of the
two. A record's two vectors side by side would not do: features that agree across the two are what alignment is after,
and orthogonality would forbid them. A row without a report of its own is left out of "text", and is its ECG in "joint".

The paper's equations and weights cannot be had; these follow its abstract, which names the three properties, and what
is known of their gradients. All three lie between 0 and 1. Balance and a steady leading subspace pull against each
other, as a subspace is only steady where the spectrum has a gap; so consistency compares whole covariances. Alone it is
met by vectors that are the same for everyone: it is to be trained with what keeps them apart.

Out of scope: the paper's records of care as tables (codes, measurements, medications) and its time windows over them.
Here a window is a visit, and what is embedded is a recording and its report. A batch in which nobody comes twice has a
consistency of zero, and teaches nothing: the column "visits" asks the stream for two visits of a patient side by side.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from ecgfm.losses import spectrum, subspace
from ecgfm.model.encoded import Encoded
from ecgfm.model.pool import Project
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView, TextView

TERMS = ("balance", "orthogonality", "consistency")
SPREADING = ("balance",)
OWN = "summary"  # pool


@dataclass(frozen=True)
class Config:
    """What is not in `terms` is not computed."""

    terms: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(TERMS, 1.0))
    of: Literal["ecg", "text", "joint"] = "ecg"
    pool: str = OWN  # of the ECG: this one, or another method's by its name
    seen: EcgView = field(default_factory=EcgView)
    read: TextView = field(default_factory=TextView)
    distortion: float = 0.5  # eps^2 of balance: a smaller one minds weaker directions, at larger gradients

    def __post_init__(self):
        unknown = set(self.terms) - set(TERMS)
        if unknown or not self.terms:
            raise ValueError(f"terms {sorted(self.terms)}: dense has {', '.join(TERMS)}, and needs at least one")

    @property
    def columns(self) -> tuple[str, ...]:
        reads = self.of != "ecg"
        asked = {"text": reads, "far": reads and self.read.far > 0, "visits": "consistency" in self.terms}
        return tuple(name for name, needed in asked.items() if needed)

    @property
    def pools(self) -> dict[str, Any]:
        return {OWN: Project()} if self.of != "text" and self.pool == OWN else {}

    def build(self, towers: Towers) -> "Objective":
        if self.of != "ecg" and towers.text is None:
            raise ValueError(f"dense features of {self.of!r} read reports: give the towers a text encoder")
        if self.of != "text" and self.pool not in towers.pools:
            raise ValueError(f"dense: no pool {self.pool!r} is built; there are {', '.join(towers.pools) or 'none'}")
        return Objective(self)


class Objective(nn.Module):
    """Nothing to learn of its own: the terms shape the towers."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config

    def forward(self, seen: Encoded) -> dict[str, Tensor]:
        c, terms = self.config, {}
        vectors, there = self._vectors(seen)
        if {"balance", "orthogonality"} & set(c.terms):
            _, covariance = spectrum.moments(vectors, there)
            terms["balance"] = spectrum.balance(covariance, c.distortion)
            terms["orthogonality"] = spectrum.orthogonality(covariance)
        if "consistency" in c.terms:
            who = torch.where(there, seen.batch.subject, -1)
            pairs = subspace.visits(who, seen.batch.record)
            terms["consistency"] = subspace.consistency(*(spectrum.moments(vectors, rows)[1] for rows in pairs))
        return {name: terms[name] for name in c.terms}

    def _vectors(self, seen: Encoded) -> tuple[Float[Tensor, "B D"], Bool[Tensor, "B"]]:
        """Of unit length, and which of them count."""
        of, everyone = self.config.of, torch.ones_like(seen.batch.report, dtype=torch.bool)
        if of == "ecg":
            return self._ecg(seen), everyone
        text, report = seen.text(self.config.read), _unit(seen.embed(self.config.read))
        own = (text.report >= 0) & ~text.swapped
        return (report, own) if of == "text" else (_unit(self._ecg(seen) + report * own[:, None]), everyone)

    def _ecg(self, seen: Encoded) -> Float[Tensor, "B D"]:
        pooled = seen.embed(self.config.seen, self.config.pool)
        return _unit(pooled.float().reshape(len(pooled), -1, pooled.shape[-1]).mean(1))


def _unit(x: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    return functional.normalize(x.float(), dim=-1)
