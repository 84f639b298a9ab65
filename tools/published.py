"""D-BETA as its authors' modules compute it, written plainly: what a step of ours is timed against.

Attention is written out and keeps its map, words are padded to the batch's longest and every one of them is guessed,
norms and activations are separate passes, dropout is torch's. The published order of things (peculiar or not) is kept
where it costs time; the mistakes that change what is learnt are not.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForTextEncoding


@dataclass(frozen=True)
class Size:
    width: int = 768
    heads: int = 12
    depth: int = 8
    channels: int = 256
    fusion: int = 6
    decoder_width: int = 384
    decoder_depth: int = 4
    patch: int = 16
    leads: int = 12
    dropout: float = 0.1


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, rate: float):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out, self.heads, self.drop = nn.Linear(width, width), heads, nn.Dropout(rate)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (
            part.view(len(part), part.shape[1], self.heads, -1).transpose(1, 2)
            for part in (self.query(x), self.key(source), self.value(source))
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
        scores = scores + torch.where(mask[:, None, None], 0.0, -1e4)
        share = self.drop(scores.softmax(-1))
        return self.out((share @ value).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Norms after each sum; with `cross`, attention to the other sequence between the two."""

    def __init__(self, width: int, heads: int, rate: float, cross: bool):
        super().__init__()
        self.self_attention = Attention(width, heads, rate)
        self.cross_attention = Attention(width, heads, rate) if cross else None
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.drop = nn.Dropout(rate)

    def forward(self, x: Tensor, mask: Tensor, other: Tensor | None = None, other_mask: Tensor | None = None) -> Tensor:
        x = self.norms[0](x + self.drop(self.self_attention(x, x, mask)))
        if self.cross_attention is not None and other is not None and other_mask is not None:
            x = self.norms[1](x + self.drop(self.cross_attention(x, other, other_mask)))
        return self.norms[2](x + self.drop(self.narrow(functional.gelu(self.widen(x)))))


class DecoderLayer(nn.Module):
    """Norms before each part, and the quick form of GELU."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = Attention(width, heads, 0.0)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        normal = self.norms[0](x)
        x = x + self.attention(normal, normal, mask)
        hidden = self.widen(self.norms[1](x))
        return x + self.narrow(hidden * torch.sigmoid(1.702 * hidden))


class Ecg(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        sizes = (size.leads, *[size.channels] * 4)
        self.convolutions = nn.ModuleList(nn.Conv1d(sizes[i], sizes[i + 1], 2, stride=2, bias=False) for i in range(4))
        self.norm = nn.GroupNorm(size.channels, size.channels)
        self.before, self.widen = nn.LayerNorm(size.channels), nn.Linear(size.channels, size.width)
        position = nn.Conv1d(size.width, size.width, 128, padding=64, groups=16)
        self.position = nn.utils.parametrizations.weight_norm(position, dim=2)
        self.first = nn.Parameter(torch.rand(size.width))
        self.after = nn.LayerNorm(size.width)
        self.layers = nn.ModuleList(Layer(size.width, size.heads, size.dropout, False) for _ in range(size.depth))
        self.drop = nn.Dropout(size.dropout)

    def forward(self, signal: Tensor, kept: Tensor) -> Tensor:
        x = signal
        for i, convolution in enumerate(self.convolutions):
            x = convolution(x)
            x = functional.gelu(self.norm(x.float()) if i == 0 else x)
        x = self.drop(self.widen(self.before(x.transpose(1, 2))))
        x = x + functional.gelu(self.position(x.transpose(1, 2))[:, :, :-1]).transpose(1, 2)
        x = x.gather(1, kept[:, :, None].expand(-1, -1, x.shape[2]))
        x = self.drop(self.after(torch.cat((self.first.expand(len(x), 1, -1), x), dim=1)))
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        for layer in self.layers:
            x = layer(x, mask)
        return x


class Published(nn.Module):
    """Four losses of one pass: masked words, masked signal, matching, sigmoid contrast."""

    def __init__(self, text: str, size: Size = Size()):
        super().__init__()
        self.size, width = size, size.width
        self.ecg = Ecg(size)
        self.text = AutoModelForTextEncoding.from_pretrained(text, attn_implementation="eager")
        self.ecg_in, self.text_in = nn.Linear(width, width), nn.Linear(self.text.config.hidden_size, width)
        self.kinds = nn.Parameter(torch.randn(2, width) * 0.02)
        layers = [Layer(width, size.heads, size.dropout, True) for _ in range(2 * size.fusion)]
        self.ecg_layers, self.text_layers = nn.ModuleList(layers[: size.fusion]), nn.ModuleList(layers[size.fusion :])
        self.pools = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.transform, self.norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.words, self.match = nn.Linear(width, self.text.config.vocab_size), nn.Linear(2 * width, 2)
        self.narrow = nn.Linear(width, size.decoder_width)
        self.blank = nn.Parameter(torch.randn(size.decoder_width) * 0.02)
        self.positions = nn.Parameter(torch.randn(512, size.decoder_width) * 0.02, requires_grad=False)
        self.decoder = nn.ModuleList(
            DecoderLayer(size.decoder_width, size.heads // 2) for _ in range(size.decoder_depth)
        )
        self.last, self.out = nn.LayerNorm(size.decoder_width), nn.Linear(size.decoder_width, size.leads * size.patch)

    def forward(
        self, signal: Tensor, hidden: Tensor, kept: Tensor, words: Tensor, mask: Tensor, guess: Tensor, aligned: Tensor
    ) -> Tensor:
        """`hidden` are the leads put to zero, `guess` the words to find (-100 elsewhere), `aligned` 1 or 0 per row."""
        ecg = self.ecg(signal * ~hidden[:, :, None], kept)
        text = self.text(input_ids=words, attention_mask=mask.long()).last_hidden_state
        ecg_vector, text_vector = torch.tanh(self.pools[0](ecg[:, 0])), torch.tanh(self.pools[1](text[:, 0]))
        seen = torch.ones(ecg.shape[:2], dtype=torch.bool, device=ecg.device)
        x, y = self.ecg_in(ecg) + self.kinds[0], self.text_in(text) + self.kinds[1]
        halfway = x
        for depth, (ecg_layer, text_layer) in enumerate(zip(self.ecg_layers, self.text_layers, strict=True)):
            halfway = x if depth == self.size.fusion // 2 else halfway
            x, y = ecg_layer(x, seen, y, mask), text_layer(y, mask, x, seen)
        both = torch.cat((torch.tanh(self.pools[2](y[:, 0])), torch.tanh(self.pools[3](x[:, 0]))), dim=1)
        return (
            functional.cross_entropy(
                self.words(self.norm(functional.gelu(self.transform(y)))).flatten(0, 1), guess.flatten()
            )
            + self._signal(halfway, kept, signal)
            + functional.cross_entropy(self.match(both), aligned)
            + _contrast(ecg_vector, text_vector, aligned)
        )

    def _signal(self, halfway: Tensor, kept: Tensor, signal: Tensor) -> Tensor:
        rows, count, patch = len(signal), signal.shape[2] // self.size.patch, self.size.patch
        x = self.narrow(halfway)
        patches = self.blank.expand(rows, count, -1).scatter(1, kept[:, :, None].expand(-1, -1, x.shape[2]), x[:, 1:])
        x = torch.cat((x[:, :1], patches), dim=1)
        x = x + self.positions[: x.shape[1]]
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        for layer in self.decoder:
            x = layer(x, mask)
        guess = self.out(self.last(x[:, 1:]))
        deviation, mean = torch.std_mean(signal, dim=2, correction=0, keepdim=True)
        target = ((signal - mean) / (deviation**2 + 1e-6).sqrt())[:, :, : count * patch]
        target = target.view(rows, -1, count, patch).transpose(1, 2).flatten(2)
        dropped = torch.ones(rows, count, device=x.device).scatter(1, kept, 0.0)
        return (((guess - target) ** 2).mean(2) * dropped).sum() / dropped.sum()


def _contrast(ecg: Tensor, text: Tensor, aligned: Tensor) -> Tensor:
    signs = torch.diag(2.0 * aligned) - (1 - torch.eye(len(ecg), device=ecg.device))
    return -functional.logsigmoid(signs * (ecg @ text.T)).sum() / len(ecg)
