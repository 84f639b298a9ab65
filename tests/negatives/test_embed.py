import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel, PreTrainedTokenizerFast, ViTConfig

from ecgfm.data.storage import Folder
from ecgfm.model import local_t5
from ecgfm.negatives.embed import Encoder, architecture, lexical, neural
from ecgfm.negatives.vectors import GRID, Embeddings

TEXTS = [
    "sinus rhythm. normal ecg",
    "sinus rhythm. left axis deviation. abnormal ecg",
    "atrial fibrillation with rapid ventricular response. left bundle branch block",
    "",
    "atrial fibrillation",
    "possible anterior infarct - age undetermined. abnormal ecg",
    "sinus bradycardia. otherwise normal ecg",
]


WORDS = sorted({word for text in TEXTS for word in text.split()})


@pytest.fixture(scope="module", params=["t5", "bert", "llama"])
def model(request, tmp_path_factory) -> str:
    """A small model of random weights, as a folder: an encoder, or a decoder that has neither padding nor an end."""
    folder = tmp_path_factory.mktemp(request.param)
    local_t5.make(TEXTS, folder, heads=1)
    if request.param == "bert":
        BertModel(
            BertConfig(vocab_size=4000, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
        ).save_pretrained(folder)
    if request.param == "llama":
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        LlamaModel(LlamaConfig(vocab_size=4000, **sizes)).save_pretrained(folder)
        plain = Tokenizer(models.WordLevel({"<s>": 0, "?": 1, **{w: i for i, w in enumerate(WORDS, 2)}}, "?"))
        plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<s>").save_pretrained(folder)
    return str(folder)


def test_a_text_embeds_as_it_does_alone(model):
    """Padding, and which texts share a pass, change nothing; the empty report has a vector too."""
    together = Encoder(model)(TEXTS)
    in_small_passes = Encoder(model, words_at_once=16)(TEXTS)
    alone = np.concatenate([Encoder(model)([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(in_small_passes, alone, atol=1e-5)
    assert np.isfinite(together).all()
    assert np.abs(alone[0] - alone[1]).max() > 1e-2


def test_the_mean_is_over_a_texts_own_words(model):
    encoder = Encoder(model)
    words = encoder.tokenizer(TEXTS[2], return_tensors="pt")
    states = encoder.network(**words).last_hidden_state[0].detach().numpy()
    np.testing.assert_allclose(encoder(TEXTS)[2], states.mean(0), atol=1e-5)


def test_a_text_is_embedded_once(model):
    encoder, given = Encoder(model), [TEXTS[0], TEXTS[2], TEXTS[0]]
    np.testing.assert_array_equal(neural(given, encoder).vectors, neural(given[:2], encoder).vectors[[0, 1, 0]])


def test_a_model_is_known_by_its_weights(model, tmp_path):
    encoder = Encoder(model)
    assert encoder.name == Encoder(model).name
    next(encoder.network.parameters()).data.add_(1)
    encoder.network.save_pretrained(tmp_path / "changed")
    encoder.tokenizer.save_pretrained(tmp_path / "changed")
    assert Encoder(str(tmp_path / "changed")).name.split()[1] != encoder.name.split()[1]
    assert str(tmp_path) not in Encoder(str(tmp_path / "changed")).name


def test_stored_and_read_again(model, tmp_path):
    made = neural(TEXTS, Encoder(model))
    made.write(Folder(str(tmp_path)), "embeddings.safetensors")
    read = Embeddings.read(Folder(str(tmp_path)), "embeddings.safetensors", TEXTS)
    assert (read.model, read.reports) == (made.model, made.reports)
    np.testing.assert_array_equal(read.vectors, made.vectors)
    with pytest.raises(ValueError, match="another report table"):
        Embeddings.read(Folder(str(tmp_path)), "embeddings.safetensors", TEXTS[::-1])


def test_words_alone_tell_reports_apart():
    made = lexical(TEXTS)
    np.testing.assert_array_equal(made.vectors, lexical(TEXTS).vectors)
    near = made.vectors.astype(np.float32) @ made.vectors.astype(np.float32).T
    np.testing.assert_allclose(np.delete(np.diag(near), 3), 1, atol=1e-3)
    assert near[2, 4] > near[2, 0]
    assert not made.vectors[3].any()  # the empty report is equally far from all


def test_similarities_are_exact():
    """The same number whatever the order of summation, so that ties are ties and orders are orders everywhere."""
    rng = np.random.default_rng(0)
    made = Embeddings.of(rng.standard_normal((300, 512)).astype(np.float32), "random", [])
    vectors = made.vectors.astype(np.float32)
    exact = made.vectors.astype(np.float64) @ made.vectors.astype(np.float64).T
    shuffled = rng.permutation(512)
    np.testing.assert_array_equal(vectors @ vectors.T, exact)
    np.testing.assert_array_equal(vectors[:, shuffled] @ vectors.T[shuffled], exact)
    np.testing.assert_array_equal(np.einsum("id,jd->ij", vectors, vectors), exact)
    np.testing.assert_array_equal(made.vectors / GRID, np.rint(made.vectors / GRID))


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        Embeddings.of(np.array([[1, np.nan]], np.float32), "model", ["a"])


def test_weights_stay_in_the_precision_that_they_were_stored_in(model, tmp_path):
    encoder = Encoder(model)
    encoder.network.bfloat16().save_pretrained(tmp_path)
    encoder.tokenizer.save_pretrained(tmp_path)
    short = Encoder(str(tmp_path))
    assert next(short.network.parameters()).dtype == torch.bfloat16
    found = short(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, Encoder(model)(TEXTS), atol=0.1)


def test_a_model_of_pictures_is_refused(tmp_path):
    ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no model of texts: its architecture is ViTConfig"):
        architecture(str(tmp_path))
