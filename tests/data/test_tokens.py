import numpy as np
import pytest

from ecgfm.data.storage import Folder
from ecgfm.data.tokens import TokenTable

TEXTS = ["sinus rhythm", "atrial fibrillation with rapid response", "a"]


def encode(texts: list[str]) -> list[list[int]]:
    return [[*(ord(word[0]) for word in text.split()), 1] for text in texts]


def test_words_of_reports() -> None:
    words, counts = TokenTable.build(TEXTS, encode, limit=100).lookup(np.array([1, 0, -1]))
    assert words.shape == (3, 16)
    assert counts.tolist() == [6, 3, 1]
    for row, text in zip(words, (TEXTS[1], TEXTS[0], ""), strict=True):
        expected = encode([text])[0]
        assert row.tolist() == expected + [0] * (16 - len(expected))


def test_long_reports_keep_their_beginning_and_their_end_mark() -> None:
    words, counts = TokenTable.build(TEXTS, encode, limit=4).lookup(np.array([1]))
    assert counts.tolist() == [4]
    assert words[0, :4].tolist() == [*encode(TEXTS)[1][:3], 1]


def test_a_table_comes_back_from_its_file(tmp_path) -> None:
    table, folder = TokenTable.build(TEXTS, encode, limit=100), Folder(str(tmp_path))
    table.write(folder, "tokens.safetensors")
    back = TokenTable.read(folder, "tokens.safetensors")
    for name in ("words", "starts", "counts"):
        assert (getattr(back, name) == getattr(table, name)).all()


def test_a_tokenizer_without_an_end_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="end mark"):
        TokenTable.build(TEXTS, lambda texts: [[ord(c) for c in text] for text in texts], limit=9)
