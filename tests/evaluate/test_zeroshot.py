from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from labelled import Made

from ecgfm.data.synthetic.findings import FINDINGS
from ecgfm.embedder import Embedder
from ecgfm.evaluate import metrics, zeroshot
from ecgfm.evaluate.embed import Vectors
from ecgfm.evaluate.examine import zero_shot
from ecgfm.evaluate.tasks import Task, read

WORDINGS = {"": ["normal ecg"], "a": ["atrial fibrillation", "sinus rhythm"], "b": ["low voltage"], "c": ["normal"]}
WRITTEN = zeroshot.Prompts(WORDINGS, usual=("c",))


def test_scores_are_differences_of_cosines(embedder: Embedder):
    vectors = np.random.default_rng(0).normal(size=(5, 128)).astype(np.float32)
    found = zeroshot.scores(embedder, vectors, ("b", "unheard of", "a", "c"), WRITTEN)
    unit = lambda x: x / np.linalg.norm(x)  # noqa: E731
    of = {text: unit(embedder.embed_reports([text]).numpy()[0]) for texts in WORDINGS.values() for text in texts}
    for vector, (b, nothing, a, c) in zip(vectors, found, strict=True):
        normal = unit(vector) @ of["normal ecg"]
        both = unit(of["atrial fibrillation"] + of["sinus rhythm"])
        assert b == pytest.approx(unit(vector) @ of["low voltage"] - normal, abs=1e-5)
        assert a == pytest.approx(unit(vector) @ both - normal, abs=1e-5)
        assert c == pytest.approx(unit(vector) @ (of["normal"] - (both + of["low voltage"]) / 2), abs=1e-5)
        assert np.isnan(nothing)


def test_a_normal_recording_is_liker_to_normal_words_than_to_findings(embedder: Embedder):
    """A vector that is what "normal ecg" means scores highest for the label of these very words."""
    said = ("normal ecg", "atrial fibrillation", "low voltage")
    vectors = embedder.embed_reports(list(said)).numpy()
    wordings = {"": ["normal ecg"], "NORM": ["normal ecg"], "AF": ["atrial fibrillation"], "LOW": ["low voltage"]}
    scores = zeroshot.scores(embedder, vectors, ("NORM", "AF", "LOW"), zeroshot.Prompts(wordings, ("NORM",)))
    assert scores.argmax(0).tolist() == [0, 1, 2]
    assert scores[0, 0] > 0.01


def test_prompts_are_written_as_cleaned_reports_are(made: Made):
    written = zeroshot.prompts(Task(made.shards, made.table))
    assert written.wordings.keys() == set(FINDINGS) | {""}
    assert written.usual == ["sinus_rhythm"]
    assert all(text == text.lower() and len(texts) > 0 for texts in written.wordings.values() for text in texts)
    assert not zeroshot.prompts(Task(made.shards, "findings")).wordings


def test_words_are_held_against_vectors_that_met_some_alone(embedder: Embedder, made: Made):
    """Labels nobody has put in words, and vectors that no loss laid beside reports, are left out: not scored as nan."""
    assert zeroshot.reads(embedder)
    apart = copy(embedder)
    apart.card = replace(embedder.card, aligned=False)
    assert not zeroshot.reads(apart)
    examined = read(Task(made.shards, made.table))
    weights = metrics.resample(examined.splits["test"].subject, 2)
    assert zero_shot(Vectors(embedder), examined, weights).keys() == {"zero-shot"}
    assert not zero_shot(Vectors(apart), examined, weights)
    wordless = replace(examined, names=tuple(f"{name}?" for name in examined.names))
    assert not zero_shot(Vectors(embedder), wordless, weights)
