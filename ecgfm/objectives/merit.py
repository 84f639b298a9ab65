"""MERIT: masked ECG modelling for what the waveform holds, alignment with the report for what it means
(Nguyen et al. 2026, 2605.27583).

    mem         the dropped patches                                        squared error, all leads, normalised per lead
    contrast    the record and its report, over the world batch            InfoNCE or the sigmoid loss
    bound       what records and reports tell of each other, at least      log N - InfoNCE, in nats: a figure, weight 0

The two parts bound the same information from two sides: mem, what the tokens hold of the signal (a squared error is a
Gaussian's log-likelihood), contrast, what they share with the report. The bound is that of N records of which every
one is a candidate for every report, so it is taken with false negatives counted, though the loss spares them: records
of one subject and identical reports. It cannot pass log N; near it, it says that the batch is too small to tell more.

The paper's abstract gives the two branches. Not known are weights, masks, towers and temperature. Here three quarters
of the patches are dropped for mem, as ST-MEM does, and the report meets the whole recording; both scales are learnt,
InfoNCE's from MERL's 1 / 0.07. Vectors are taken over all tokens. With mem alone nothing moves the pool, whose map
stays as it was drawn: what such a model has learnt stands in its tokens.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ecgfm.batch import Batch
from ecgfm.losses import contrastive
from ecgfm.model.encoded import Encoded
from ecgfm.model.pool import Project
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView, TextView
from ecgfm.objectives.parts.decoder import Guess, PatchDecoder, squared_error

TERMS = ("mem", "contrast", "bound")
POOL = "merit"
MOST = 100.0  # of InfoNCE's scale, as in CLIP: beyond it, single pairs decide the gradient


@dataclass(frozen=True)
class Config:
    """A term that is left out of `terms` is left out of the model as well, and with it the text encoder."""

    terms: Mapping[str, float] = field(default_factory=lambda: {"mem": 1.0, "contrast": 1.0, "bound": 0.0})
    loss: Literal["softmax", "sigmoid"] = "softmax"
    masked: EcgView = field(default_factory=lambda: EcgView(tokens=0.75))  # what mem sees
    aligned: EcgView = field(default_factory=EcgView)  # what meets the report; one pass serves both if they are equal
    scale: float = 1 / 0.07  # at the start
    bias: float = -math.log(1023)  # likewise, of the sigmoid loss: -log(world batch - 1) makes the prior right
    pool: Project = field(default_factory=Project)

    def __post_init__(self):
        unknown = set(self.terms) - set(TERMS)
        if unknown or not {"mem", "contrast"} & set(self.terms):
            raise ValueError(f"terms {sorted(self.terms)}: MERIT has {', '.join(TERMS)}, and needs mem or contrast")
        if "bound" in self.terms and ("contrast" not in self.terms or self.terms["bound"]):
            raise ValueError("bound is a figure of the contrast: it goes with it, at weight 0")

    @property
    def pools(self) -> dict[str, Project]:
        return {POOL: self.pool}

    @property
    def reports_pool(self) -> str | None:
        return POOL if "contrast" in self.terms else None

    @property
    def columns(self) -> tuple[str, ...]:
        return ("text",) if "contrast" in self.terms else ()

    def build(self, towers: Towers) -> "Objective":
        return Objective(self, towers)


class Objective(nn.Module):
    def __init__(self, config: Config, towers: Towers):
        super().__init__()
        self.config = config
        self.decoder = PatchDecoder(towers.config) if "mem" in config.terms else None
        self.scale = self.bias = None
        if "contrast" in config.terms:
            if towers.text is None:
                raise ValueError("the contrast reads reports: give the towers a text encoder")
            self.scale = nn.Parameter(torch.tensor([math.log(config.scale)]))
            self.bias = nn.Parameter(torch.tensor([config.bias])) if config.loss == "sigmoid" else None

    def forward(self, seen: Encoded) -> dict[str, Tensor]:
        terms = {}
        if guess := self.guess(seen):
            terms["mem"] = squared_error(guess.patches, seen.signal, guess.taught)
        if self.scale is not None:
            terms |= self._align(seen, self.scale.exp())
        return terms

    def guess(self, seen: Encoded) -> Guess | None:
        if self.decoder is None:
            return None
        ecg = seen.ecg(self.config.masked)
        return Guess(self.decoder(ecg.tokens, ecg.kept, seen.signal.valid()), ecg.dropped, ecg)

    def _align(self, seen: Encoded, scale: Float[Tensor, "1"]) -> dict[str, Tensor]:
        sides = (seen.embed(self.config.aligned, POOL), seen.embed(TextView()))
        ecg, report = (functional.normalize(side.float(), dim=-1) for side in sides)
        if self.bias is not None:
            terms = {"contrast": contrastive.sigmoid(ecg, report, labels(seen.batch, True), scale, self.bias)}
        else:
            scale = scale + (scale.clamp(max=MOST) - scale).detach()  # at the limit it can still learn to come down
            terms = {"contrast": contrastive.softmax(ecg, report, labels(seen.batch, True), scale)}
        if "bound" in self.config.terms:
            terms["bound"] = contrastive.information(ecg, report, labels(seen.batch, False), scale)
        return terms


def labels(batch: Batch, spare_same: bool) -> contrastive.Labels:
    """Every record reads its own report."""
    own = torch.zeros_like(batch.report, dtype=torch.bool)
    return contrastive.pair_labels(batch.report, batch.subject, batch.report, batch.subject, own, spare_same)
