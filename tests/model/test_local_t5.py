"""The T5 made here is one that transformers loads by itself."""

from pathlib import Path

import torch
from batches import reports
from transformers import AutoTokenizer, T5EncoderModel

from ecgfm.model import local_t5


def test_transformers_loads_it_and_words_come_back(tmp_path: Path) -> None:
    local_t5.make(reports(100), tmp_path, heads=2)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = "sinus rhythm. left bundle branch block"
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert ids[-1] == tokenizer.eos_token_id == 1
    assert tokenizer.pad_token_id == 0
    assert len(ids) == len(text.split()) + 2  # whole words, the stop, the end
    model = T5EncoderModel.from_pretrained(tmp_path)
    assert model.config.vocab_size == len(tokenizer)
    assert model(input_ids=torch.tensor([ids])).last_hidden_state.shape == (1, len(ids), 128)


def test_the_same_reports_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        local_t5.make(reports(100), tmp_path / name, heads=2)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_making_it_leaves_torch_s_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    local_t5.make(reports(20), tmp_path, heads=2)
    assert torch.equal(torch.rand(1), expected)
