"""A small T5 of our own: tokenizer learned from given reports, random weights, a folder that transformers loads.

For where the hub cannot be reached, and for tests. On a cluster google/flan-t5-base takes its place.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from ecgfm.model.text import SENTINEL
from ecgfm.model.transformer import HEAD

_PAD, _END, _UNKNOWN = "<pad>", "</s>", "<unk>"  # numbers 0, 1, 2, as in T5


def make(reports: Iterable[str], folder: Path | str, heads: int, words: int = 4000, seed: int = 0) -> None:
    """`heads` is the towers' dial: 64 channels a head, a layer a head, as in the base model. `words` is the most."""
    tokenizer = learn(reports, words)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        eos_token=_END,
        unk_token=_UNKNOWN,
        additional_special_tokens=[SENTINEL],
    )
    pad, end = tokenizer.token_to_id(_PAD), tokenizer.token_to_id(_END)
    config = T5Config(
        vocab_size=len(wrapped),
        d_model=HEAD * heads,
        d_kv=HEAD,
        d_ff=HEAD * (heads * 8 // 3),
        num_layers=heads,
        num_heads=heads,
        feed_forward_proj="gated-gelu",
        pad_token_id=pad,
        eos_token_id=end,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = T5EncoderModel(config)
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)


def learn(reports: Iterable[str], words: int) -> Tokenizer:
    """Byte-pair merges: unlike T5's unigram trainer, the same reports give the same tokenizer every time."""
    tokenizer = Tokenizer(models.BPE(unk_token=_UNKNOWN))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.Metaspace()
    special = [_PAD, _END, _UNKNOWN, SENTINEL]
    tokenizer.train_from_iterator(
        reports, trainers.BpeTrainer(vocab_size=words, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {_END}", special_tokens=[(_END, tokenizer.token_to_id(_END))]
    )
    return tokenizer
