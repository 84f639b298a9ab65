"""A vector for every distinct report, made once per report table: by a frozen language model, or from words alone."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn
import torch
from jaxtyping import Float16, Float32
from safetensors.numpy import load, save
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import AutoModelForTextEncoding, AutoTokenizer

from ecgfm.data.storage import Folder

# On this grid a product is a multiple of 2^-22, and no sum of products of unit vectors passes 2 (Cauchy-Schwarz), so
# float32 holds every partial sum of every inner product without rounding. A similarity is then the same number in any
# order of summation, batch, thread count or machine, and "the farthest" has one answer. It moves a cosine by 2e-4.
GRID = 2.0**-11


@dataclass(frozen=True)
class Embeddings:
    """The row of a report is its number in the report table."""

    vectors: Float16[np.ndarray, "report d"]  # of unit length, on the grid
    model: str  # what made them: its name, and a hash of its weights
    reports: str  # hash of the texts they were made of

    @staticmethod
    def of(vectors: Float32[np.ndarray, "report d"], model: str, texts: Sequence[str]) -> "Embeddings":
        if not np.isfinite(vectors).all():
            raise ValueError(f"{model} gives vectors that are not finite: use another encoder")
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = vectors / np.where(length > 0, length, 1)
        grid = np.rint(unit / GRID) * GRID + 0.0  # there is one zero
        return Embeddings(grid.astype(np.float16), model, hash_of_texts(texts))

    def write(self, folder: Folder, name: str) -> None:
        folder.write(name, save({"vectors": self.vectors}, {"model": self.model, "reports": self.reports}))

    @staticmethod
    def read(folder: Folder, name: str, texts: Sequence[str]) -> "Embeddings":
        content = folder.read(name)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        if header["reports"] != hash_of_texts(texts):
            raise ValueError(f"{name} was made of another report table; embed the reports of this one")
        return Embeddings(load(content)["vectors"], header["model"], header["reports"])


def file_name(encoder: str, texts: Sequence[str]) -> str:
    """Where the vectors of these reports by this encoder stand, in a shard folder or in a run's."""
    of = hashlib.sha256(f"{encoder} {hash_of_texts(texts)}".encode()).hexdigest()[:16]
    return f"vectors/{Path(encoder).name}-{of}.safetensors"


class Encoder:
    """A frozen Hugging Face encoder, by hub name or folder. A text becomes the mean of its own words' last states."""

    def __init__(self, model: str, device: str = "cpu", longest: int = 256, words_at_once: int = 8192):
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.network = AutoModelForTextEncoding.from_pretrained(model, dtype=torch.float32).to(device).eval()
        self.device, self.longest, self.words_at_once = device, longest, words_at_once
        self.name = f"{Path(model).name} {_hash_of_weights(self.network)}"

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Float32[np.ndarray, "text d"]:
        """Texts of like length share a pass, so that little is computed on padding."""
        words = self.tokenizer(list(texts), truncation=True, max_length=self.longest)["input_ids"]
        order = np.argsort([-len(w) for w in words], kind="stable")
        means, start = [], 0
        while start < len(order):
            rows = order[start : start + max(1, self.words_at_once // len(words[order[start]]))]
            means.append(self._mean([words[row] for row in rows]))
            start += len(rows)
        vectors = np.empty((len(texts), means[0].shape[1]), np.float32)
        vectors[order] = np.concatenate(means)
        return vectors

    def _mean(self, words: list[list[int]]) -> Float32[np.ndarray, "text d"]:
        padded = self.tokenizer.pad({"input_ids": words}, return_tensors="pt").to(self.device)
        ids, own = padded["input_ids"], padded["attention_mask"]
        states = self.network(input_ids=ids, attention_mask=own).last_hidden_state
        return ((states * own[..., None]).sum(1) / own.sum(1, keepdim=True)).cpu().numpy()


def neural(texts: Sequence[str], encoder: Encoder) -> Embeddings:
    """Equal texts, as the tables of two corpora may hold, have equal vectors."""
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return Embeddings.of(encoder(list(place))[[place[text] for text in texts]], encoder.name, texts)


def lexical(texts: Sequence[str], size: int = 256) -> Embeddings:
    """Without a language model: word and word-pair frequencies (TF-IDF), reduced by a singular value decomposition."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+").fit_transform(texts)
    size = min(size, min(words.shape) - 1)
    vectors = TruncatedSVD(size, random_state=0).fit_transform(words).astype(np.float32)
    return Embeddings.of(vectors, f"tf-idf svd {size}, scikit-learn {sklearn.__version__}", texts)


def hash_of_texts(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()


def _hash_of_weights(network: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.cpu().contiguous().numpy())
    return digest.hexdigest()[:16]
