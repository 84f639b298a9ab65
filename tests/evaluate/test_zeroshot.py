import numpy as np
import pytest
from labelled import Made

from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.embedder import Embedder
from ecgfm.evaluate import zeroshot
from ecgfm.evaluate.tasks import Task

WRITTEN = {"": ["normal ecg"], "a": ["atrial fibrillation", "sinus rhythm"], "b": ["low voltage"]}


def test_scores_are_differences_of_cosines(embedder: Embedder):
    vectors = np.random.default_rng(0).normal(size=(5, 128)).astype(np.float32)
    found = zeroshot.scores(embedder, vectors, ("b", "unheard of", "a"), WRITTEN)
    unit = lambda x: x / np.linalg.norm(x)  # noqa: E731
    of = {text: unit(embedder.embed_reports([text]).numpy()[0]) for texts in WRITTEN.values() for text in texts}
    for vector, (b, nothing, a) in zip(vectors, found, strict=True):
        normal = unit(vector) @ of["normal ecg"]
        both = unit(of["atrial fibrillation"] + of["sinus rhythm"])
        assert b == pytest.approx(unit(vector) @ of["low voltage"] - normal, abs=1e-5)
        assert a == pytest.approx(unit(vector) @ both - normal, abs=1e-5)
        assert np.isnan(nothing)


def test_prompts_are_written_as_cleaned_reports_are(made: Made):
    written = zeroshot.prompts(Task(made.shards, made.table))
    assert written.keys() == set(FINDINGS) | {""}
    assert all(text == text.lower() and len(texts) > 0 for texts in written.values() for text in texts)
    assert zeroshot.prompts(Task(made.shards, "findings")) == {}
