"""D-BETA: masked words, masked signal, matching and alignment of ECG and report (Pham et al., ICML 2025, 2410.02131).

One masked pass over each side is fused: half of the leads hidden and three quarters of the patches dropped; a quarter
of the words masked; half of the rows read a far report in the place of their own (N3S).

    mlm   the masked words, from the text after fusion                 cross-entropy
    mem   the dropped patches, from the ECG halfway through fusion     squared error, all leads, normalised per lead
    etm   whose report is it, from both after fusion                   cross-entropy of matched against swapped
    ets   the towers' own embeddings, before fusion                    sigmoid contrast over the world batch

mlm and mem train on rows that read their own report only: words cannot be found in, nor signal be filled in from,
what does not belong together, and the fusion would learn to look away. A row without a report has mem alone.

`Config()` is the method as we train it, `PAPER` to the letter: ets there takes the vectors as they are, without scale
and bias, counts identical reports as negatives, and meets the text that fusion reads, which for half of the rows is a
far report: they have no pair. Ours meets every record's own report with no word masked, one more pass over text, and
aligns in fewer steps (jobs/LOG.md). `ecgfm.model.config.PAPER` is its encoder.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ecgfm.batch import Batch
from ecgfm.losses import contrastive, masked
from ecgfm.model.ecg import EcgFeatures
from ecgfm.model.encoded import Encoded, TextFeatures
from ecgfm.model.patches import Signal
from ecgfm.model.pool import Project
from ecgfm.model.towers import Towers
from ecgfm.model.transformer import SMALL, initialise
from ecgfm.model.views import EcgView, TextView
from ecgfm.objectives.parts.decoder import Guess, PatchDecoder, squared_error
from ecgfm.objectives.parts.fusion import Fused, Fusion

TERMS = ("mlm", "mem", "etm", "ets")
SPREADING = ("ets",)
POOL = "summary"


@dataclass(frozen=True)
class Config:
    """A term that is left out of `terms` is left out of the model as well."""

    terms: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(TERMS, 1.0))
    words: float = 0.25  # masked
    leads: float = 0.5  # hidden
    tokens: float = 0.75  # dropped
    far: float = 0.5  # rows that read a far report
    published_ets: bool = False  # the paper's contrast, and its vectors: see above
    scale: float = 10.0  # at the start, of ets
    bias: float = -math.log(1023)  # likewise: -log(world batch - 1) makes the prior right

    columns: ClassVar = ("text", "far")

    def __post_init__(self):
        unknown = set(self.terms) - set(TERMS)
        if unknown or not self.terms:
            raise ValueError(f"terms {sorted(self.terms)}: D-BETA has {', '.join(TERMS)}, and needs at least one")

    @property
    def pools(self) -> dict[str, Project]:
        return {POOL: Project("first", bounded=True) if self.published_ets else Project()}

    @property
    def reports_pool(self) -> str | None:
        return POOL if "ets" in self.terms else None

    def build(self, towers: Towers) -> "Objective":
        return Objective(self, towers)


PAPER = Config(published_ets=True)


class Objective(nn.Module):
    def __init__(self, config: Config, towers: Towers):
        super().__init__()
        self.config = config
        sizes, text, built = towers.config, towers.text, set(config.terms)
        if text is None:
            raise ValueError("D-BETA reads reports: give the towers a text encoder")
        if "mlm" in built and not text.vocabulary.size:
            raise ValueError("mlm masks words, and a table of embeddings has none: leave it out of the terms")
        fused = bool(built & {"mlm", "mem", "etm"})
        self.fusion = Fusion(text.width, sizes) if fused else None
        self.words = WordHead(sizes.width, text.vocabulary.size) if "mlm" in built else None
        self.decoder = PatchDecoder(sizes) if "mem" in built else None
        self.match = MatchHead(sizes.width) if "etm" in built else None
        self.scale = self.bias = None
        if "ets" in built and not config.published_ets:
            self.scale = nn.Parameter(torch.tensor([math.log(config.scale)]))
            self.bias = nn.Parameter(torch.tensor([config.bias]))

    def forward(self, seen: Encoded) -> dict[str, Tensor]:
        c, terms = self.config, {}
        ecg_view = EcgView(leads=c.leads, tokens=c.tokens)
        text_view = TextView(words=c.words if "mlm" in c.terms else 0.0, far=c.far)
        ecg, text = seen.ecg(ecg_view), seen.text(text_view)
        if self.fusion is not None:
            fused = self.fusion(ecg.tokens, ecg.mask, text.tokens, text.mask, seen.key("dbeta"))
            if self.words is not None:
                terms["mlm"] = masked_words(self.words, fused, text)
            if self.decoder is not None:
                terms["mem"] = masked_signal(self.decoder, fused, ecg, text, seen.signal)
            if self.match is not None:
                logits = self.match(fused.text[:, 0], fused.ecg[:, 0])
                terms["etm"] = masked.cross_entropy(logits, (~text.swapped).long(), text.report >= 0)
        if "ets" in c.terms:
            read = text_view if c.published_ets else TextView()
            terms["ets"] = self._ets(seen.embed(ecg_view), seen.embed(read), seen.batch, seen.text(read))
        return terms

    def guess(self, seen: Encoded) -> Guess | None:
        """With the report that comes with the record, no word masked: `ecgfm draw` gives none."""
        if self.decoder is None or self.fusion is None:
            return None
        ecg, text = seen.ecg(EcgView(leads=self.config.leads, tokens=self.config.tokens)), seen.text()
        fused = self.fusion(ecg.tokens, ecg.mask, text.tokens, text.mask, seen.key("dbeta"))
        return Guess(self.decoder(fused.halfway, ecg.kept, seen.signal.valid()), ecg.dropped, ecg)

    def _ets(
        self, ecg: Float[Tensor, "B D"], report: Float[Tensor, "B D"], batch: Batch, text: TextFeatures
    ) -> Float[Tensor, ""]:
        spare = not self.config.published_ets
        labels = contrastive.pair_labels(
            batch.report, batch.subject, text.report, text.subject, text.swapped, spare_same=spare
        )
        if self.scale is None or self.bias is None:
            return contrastive.sigmoid(ecg, report, labels)
        ecg, report = (functional.normalize(side.float(), dim=-1) for side in (ecg, report))
        return contrastive.sigmoid(ecg, report, labels, self.scale.exp(), self.bias)


def masked_words(head: "WordHead", fused: Fused, text: TextFeatures) -> Float[Tensor, ""]:
    """Guesses at the masked places only, of rows that read their own report: the head is 32,128 words wide."""
    hidden, rows = text.masked, ~text.swapped & (text.report >= 0)
    place = hidden.place[:, :, None].expand(-1, -1, fused.text.shape[2])
    return masked.cross_entropy(head(fused.text.gather(1, place)), hidden.word, hidden.used & rows[:, None])


def masked_signal(
    decoder: PatchDecoder, fused: Fused, ecg: EcgFeatures, text: TextFeatures, signal: Signal
) -> Float[Tensor, ""]:
    guess = decoder(fused.halfway, ecg.kept, signal.valid())
    return squared_error(guess, signal, ecg.dropped & ~text.swapped[:, None])


class WordHead(nn.Module):
    def __init__(self, width: int, words: int):
        super().__init__()
        self.transform, self.norm, self.out = nn.Linear(width, width), nn.LayerNorm(width), nn.Linear(width, words)
        initialise(self)
        initialise(self.out, SMALL)

    def forward(self, x: Float[Tensor, "B M D"]) -> Float[Tensor, "B M V"]:
        return self.out(self.norm(functional.gelu(self.transform(x))))


class MatchHead(nn.Module):
    """Matched (1) or not (0), from the first token of either side after fusion."""

    def __init__(self, width: int):
        super().__init__()
        self.text, self.ecg, self.out = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(2 * width, 2)
        initialise(self)
        initialise(self.out, SMALL)

    def forward(self, text: Float[Tensor, "B D"], ecg: Float[Tensor, "B D"]) -> Float[Tensor, "B 2"]:
        return self.out(torch.cat((torch.tanh(self.text(text)), torch.tanh(self.ecg(ecg))), dim=-1))
