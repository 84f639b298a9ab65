"""Text towers: any encoder from a folder; padding is never read; dropout belongs to the record."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from batches import fill_padding, make
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn import functional
from transformers import AutoModelForTextEncoding, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.activations import NewGELUActivation

from ecgfm import draw
from ecgfm.batch import Batch
from ecgfm.model.pool import Project
from ecgfm.model.text import Reading, TableConfig, TextConfig, TextTable, TextTower
from ecgfm.model.views import TextView, read_reports

BERT_SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bert")
    words = {word: place for place, word in enumerate((*BERT_SPECIAL, *(f"w{i}" for i in range(60))))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = dict(zip(("pad", "cls", "sep", "unk", "mask"), BERT_SPECIAL, strict=True))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": token for name, token in names.items()}
    ).save_pretrained(folder)
    BertModel(
        BertConfig(vocab_size=65, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96)
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(params=["t5", "bert"])
def tower(request: pytest.FixtureRequest, text_model: str, bert: str) -> TextTower:
    return TextTower(TextConfig(text_model if request.param == "t5" else bert), width=128, rate=0.1, pretrained=True)


def reading(batch: Batch) -> Reading:
    return read_reports(TextView(), batch, 0, pad=0)[0]


def test_padded_words_change_no_bit(tower: TextTower) -> None:
    batch = make()
    other = fill_padding(batch, signal=0, scale=0.0, words=33)
    assert not torch.equal(batch.words, other.words)
    assert torch.equal(tower(reading(batch), None)[0], tower(reading(other), None)[0])


def test_more_padding_changes_nothing(tower: TextTower) -> None:
    """The attention mask reaches the encoder: without it every padded word would be attended to."""
    batch = make()
    wide = replace(batch, **{name: functional.pad(getattr(batch, name), (0, 9)) for name in ("words", "far_words")})
    near, mask = tower(reading(batch), None)
    far, _ = tower(reading(wide), None)
    torch.testing.assert_close(far[:, : near.shape[1]][mask], near[mask], atol=1e-5, rtol=1e-4)


def test_dropout_follows_the_record_and_training_mode_does_nothing(tower: TextTower) -> None:
    batch = make()
    keys = draw.keys(0, "dropout", batch.record)
    torch.manual_seed(1)
    calm = tower.train()(reading(batch), None)[0]
    assert torch.equal(calm, tower.eval()(reading(batch), None)[0])
    noisy = tower(reading(batch), keys)[0]
    assert (noisy - calm).abs().max() > 1e-3
    part = tower(reading(batch[2:5]), keys[2:5])[0]
    torch.testing.assert_close(part, noisy[2:5], atol=1e-5, rtol=1e-4)


def test_every_parameter_is_used(tower: TextTower) -> None:
    tower(reading(make()), None)[0].square().sum().backward()
    assert [name for name, parameter in tower.model.named_parameters() if parameter.grad is None] == []


def test_words_are_read_as_transformers_reads_them(tower: TextTower) -> None:
    plain = AutoModelForTextEncoding.from_pretrained(tower.model.name_or_path, dtype=torch.float32).eval()
    batch = make()
    reading, _ = read_reports(TextView(), batch, 0, tower.vocabulary.pad)
    with torch.no_grad():
        expected = plain(input_ids=reading.words, attention_mask=reading.mask).last_hidden_state
        tokens, mask = tower(reading, None)
    torch.testing.assert_close(tokens[mask], expected[mask], atol=1e-5, rtol=1e-5)
    assert not [part for part in tower.modules() if isinstance(part, NewGELUActivation)]


def test_t5_is_given_a_mask_token_of_its_own(text_model: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(text_model)
    assert tokenizer.mask_token is None
    known = TextTower(TextConfig(text_model), width=128, rate=0.0, pretrained=True).vocabulary
    assert tokenizer.convert_ids_to_tokens(known.mask) == "<extra_id_0>"
    assert known.mask in known.special
    assert tokenizer.eos_token_id in known.special


def test_bert_has_one(bert: str) -> None:
    known = TextTower(TextConfig(bert), width=128, rate=0.0, pretrained=True).vocabulary
    assert BERT_SPECIAL[known.mask] == "[MASK]"


def test_weights_are_those_of_the_folder_or_an_error(text_model: str, tmp_path: Path) -> None:
    one, two = (TextTower(TextConfig(text_model), width=128, rate=0.0, pretrained=True) for _ in range(2))
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.dtype == torch.float32
    for file in Path(text_model).iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(OSError, match="no file named"):
        TextTower(TextConfig(str(tmp_path)), width=128, rate=0.0, pretrained=True)
    empty = TextTower(TextConfig(str(tmp_path)), width=128, rate=0.0, pretrained=False)
    assert not torch.equal(next(empty.parameters()), next(one.parameters()))


def test_a_tokenizer_without_a_mask_is_refused(text_model: str, tmp_path: Path) -> None:
    for file in Path(text_model).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes().replace(b"<extra_id_0>", b"<blank>"))
    with pytest.raises(ValueError, match="no mask token"):
        TextTower(TextConfig(str(tmp_path)), width=128, rate=0.0, pretrained=True)


def test_a_table_gives_each_report_its_row(tmp_path: Path) -> None:
    rows = torch.randn(100_000, 3).half()
    save_file({"vectors": rows}, tmp_path / "reports.safetensors")
    table = TextTable(TableConfig(str(tmp_path / "reports.safetensors"), Project()), width=128)
    batch = make()
    tokens, mask = table(reading(batch), None)
    assert torch.equal(tokens[:, 0], rows[batch.report].float())
    assert mask.all()
    assert not table.table.requires_grad
    assert "table" not in table.state_dict()


def test_no_report_has_no_row_of_a_table(tmp_path: Path) -> None:
    save_file({"vectors": torch.randn(100_000, 3)}, tmp_path / "reports.safetensors")
    table, read = TextTable(TableConfig(str(tmp_path / "reports.safetensors")), width=128), reading(make())
    read.report[3] = -1
    tokens, _ = table(read, None)
    assert not tokens[3].any()
    assert tokens[4].any()


def test_a_table_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        TextTable(TableConfig("nowhere.safetensors"), width=128)
