from collections import Counter

import numpy as np
import pytest

from ecgfm.data.synthetic.report import report

WORDS = {
    "atrial_fibrillation": ("fib",),
    "atrial_flutter": ("flutter",),
    "tachycardia": ("tachycardia", "rapid", "uncontrolled"),
    "bradycardia": ("bradycardia", "slow"),
    "lbbb": ("left bundle", "lbbb", "iv conduction"),
    "rbbb": ("right bundle", "rbbb", "rsr'"),
    "lvh": ("hypertrophy", "lvh"),
    "pvc": ("ventricular premature", "premature ventricular", "pvc"),
    "pac": ("atrial premature", "premature atrial", "pac("),
    "long_qt": ("qt",),
    "low_voltage": ("low",),
    "paced": ("pac",),
    "first_degree_av_block": ("a-v block", "pr interval"),
    "infarct_inferior": ("infer",),
}


def text(visit, dialect: int = 0) -> str:
    return "\n".join(report(visit, dialect)).lower()


@pytest.fixture(scope="module")
def texts(seen) -> list[str]:
    return [text(v, v.number % 3) for v in seen]


def test_a_report_is_a_function_of_visit_and_dialect(seen):
    assert report(seen[5], 1) == report(seen[5], 1)
    assert any(report(v, 0) != report(v, 1) for v in seen[:20])


@pytest.mark.parametrize("finding", WORDS)
def test_what_is_found_is_mostly_said_and_little_else_is(seen, texts, finding):
    says = np.array([any(word in text for word in WORDS[finding]) for text in texts])
    there = np.array([v.present[finding] for v in seen])
    hidden = np.array([v.present["paced"] for v in seen]) & (finding != "paced")
    assert 0.85 < says[there & ~hidden].mean() <= 1
    clearly_not = np.array([v.severity[finding] < 0.3 for v in seen]) & ~there & ~hidden
    assert says[clearly_not].mean() < 0.15


def test_something_is_left_out(seen):
    present = [v for v in seen if v.present["rbbb"] and not v.present["paced"]]
    assert any(not any(word in text(v) for word in WORDS["rbbb"]) for v in present)


def test_hedges_denials_and_early_signs(seen, texts):
    for words in (("possible", "cannot rule out", "borderline"), ("no acute", "no evidence"), ("left atrial",)):
        share = np.mean([any(word in t for word in words) for t in texts])
        assert 0.02 < share < 0.7, words
    firm = [v for v in seen if v.severity["lvh"] > 0.8]
    faint = [v for v in seen if 0.45 < v.severity["lvh"] < 0.55 and v.present["lvh"]]
    hedged = [
        np.mean(["possible left v" in text(v) or "minimal v" in text(v) for v in group]) for group in (firm, faint)
    ]
    assert hedged[0] < 0.2 < hedged[1]


def test_normal_recordings_are_called_normal(seen):
    for visit in seen:
        others = any(p for f, p in visit.present.items() if f != "sinus_rhythm")
        assert not (others and text(visit).endswith("\nnormal ecg"))


def test_reports_repeat(texts):
    """The real corpus holds 180,000 distinct reports in 800,000, and a few of them very often."""
    count = Counter(texts)
    assert 0.3 < len(count) / len(texts) < 0.75
    assert count.most_common(1)[0][1] > 0.01 * len(texts)


def test_dialects_differ_in_more_than_capitals(seen):
    vocabulary = [{line.lower() for v in seen[:600] for line in report(v, dialect)} for dialect in range(3)]
    assert len(vocabulary[0] - vocabulary[1]) > 20
    assert all(line == line.upper() for v in seen[:50] for line in report(v, 2))
    assert max(len(report(v, 0)) for v in seen) < 18  # the columns of a cart, less one for a gap
