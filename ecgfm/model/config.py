"""What the towers are: one dial, and the few choices in which the published encoder and ours differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ecgfm.model.pool import Project
from ecgfm.model.text import TableConfig, TextConfig
from ecgfm.model.transformer import HEAD, SMALL

# Of the dial. Base is the paper's; D-BETA at large passes 1 B parameters with any text encoder.
SIZES = {"tiny": 2, "small": 4, "base": 12, "large": 22}


@dataclass(frozen=True)
class TowerConfig:
    """`heads` is the dial: every width and depth follows from it. The text encoder is chosen by its name."""

    heads: int = SIZES["base"]  # attention heads of 64 channels, an even number
    leads: int = 12
    position: Literal["sines", "convolution"] = "sines"  # the convolution is the paper's; it runs before patches drop
    published_layers: bool = False  # no overlapping convolutions, norms after each part, BERT's small weights
    amplitude: bool = True  # tell the size of each lead, which the norm over time takes away
    dropout: float = 0.0
    text: TextConfig | TableConfig | None = field(default_factory=TextConfig)
    others: tuple[str, ...] = ()  # kinds of channels beside the ECG, each with an encoder; objectives add theirs
    pools: Mapping[str, Any] = field(default_factory=dict)  # over the ECG's tokens; objectives add theirs

    def __post_init__(self):
        if self.heads < 2 or self.heads % 2:
            raise ValueError(f"heads={self.heads}: the dial takes an even number, at least 2 (sizes: {SIZES})")

    @property
    def width(self) -> int:
        return HEAD * self.heads

    @property
    def depth(self) -> int:
        return max(2, round(self.heads * 2 / 3))

    @property
    def deviation(self) -> float | None:
        """Of the layers' weights at the start; None is as their width asks (model/transformer.py)."""
        return SMALL if self.published_layers else None

    @property
    def channels(self) -> int:
        """Of the convolutions before the transformer."""
        return HEAD * max(1, self.heads // 3)

    @property
    def fusion_depth(self) -> int:
        return max(2, self.heads // 2)

    @property
    def decoder_width(self) -> int:
        return self.width // 2

    @property
    def decoder_depth(self) -> int:
        return max(1, self.heads // 3)


# To the letter, but for dropout inside attention: fused kernels keep no map to drop from.
PAPER = TowerConfig(
    position="convolution",
    published_layers=True,
    amplitude=False,
    dropout=0.1,
    text=TextConfig(pool=Project("first", bounded=True)),
)
