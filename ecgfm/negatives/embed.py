"""A vector for every distinct report, made once per report table: by a frozen language model, or from words alone."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from jaxtyping import Float32
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import (
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForTextEncoding,
    AutoTokenizer,
)

from ecgfm.negatives.vectors import Embeddings


class Encoder:
    """A frozen Hugging Face model, by hub name or folder. A text becomes the mean of its own words' last states.

    An encoder, or a decoder such as Llama; in the precision that it was stored in, on one device.
    """

    def __init__(self, model: str, device: str = "cpu", longest: int = 256, words_at_once: int = 8192):
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token  # decoders have none: what is padding is masked
        self.network = architecture(model).from_pretrained(model, dtype="auto").to(device).eval()
        self.device, self.longest, self.words_at_once = device, longest, words_at_once
        self.name = f"{Path(model).name} {_hash_of_weights(self.network)}"

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Float32[np.ndarray, "text d"]:
        """Texts of like length share a pass, so that little is computed on padding."""
        said = self.tokenizer(list(texts), truncation=True, max_length=self.longest)["input_ids"]
        words = [ids or [self.tokenizer.pad_token_id] for ids in said]  # some have no word for the end of an empty text
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
        states = states.float()
        return ((states * own[..., None]).sum(1) / own.sum(1, keepdim=True)).cpu().numpy()


def architecture(model: str) -> Any:
    """The class that makes states of words: an encoder's, also of a T5, else a decoder's."""
    config = AutoConfig.from_pretrained(model)
    if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING:
        return AutoModelForTextEncoding
    if type(config) in MODEL_MAPPING and hasattr(config, "vocab_size"):
        return AutoModel
    raise ValueError(f"{model} is no model of texts: its architecture is {type(config).__name__}")


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


def _hash_of_weights(network: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
