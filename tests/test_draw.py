"""Random numbers as a function of what they are for."""

import pytest
import torch

from ecgfm import draw

RECORDS = torch.arange(4096) * 977


def test_numbers_are_uniform_and_without_correlation() -> None:
    drawn = draw.uniform(7, "words", RECORDS, 16)
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.005)
    assert drawn.std().item() == pytest.approx(12**-0.5, abs=0.005)
    between = torch.corrcoef(drawn.T) - torch.eye(16)
    assert between.abs().max() < 5 / 64  # five standard errors


def test_a_record_s_numbers_are_its_own() -> None:
    whole = draw.uniform(7, "words", RECORDS, 16)
    assert torch.equal(draw.uniform(7, "words", RECORDS[100:200], 16), whole[100:200])
    assert torch.equal(draw.uniform(7, "words", RECORDS, 9), whole[:, :9])
    for other in (draw.uniform(8, "words", RECORDS, 16), draw.uniform(7, "leads", RECORDS, 16)):
        assert (other == whole).float().mean() < 1e-3


def test_the_numbers_are_these_for_ever() -> None:
    """Every mask of every run follows from them: a change here would move all golden curves."""
    expected = [[0.89335978, 0.50083584], [0.51100957, 0.51859051], [0.58610606, 0.36112726]]
    drawn = draw.uniform(1, "leads/0", torch.tensor([0, 1, 1 << 40]), 2)
    torch.testing.assert_close(drawn, torch.tensor(expected), atol=1e-7, rtol=0)


def test_parts_of_a_key_are_independent() -> None:
    key = draw.keys(7, "dropout", RECORDS)
    parts = torch.stack([draw.numbers(draw.fold(key, part), 1)[:, 0] for part in range(-2, 14)])
    assert (torch.corrcoef(parts) - torch.eye(16)).abs().max() < 5 / 64
    nested = draw.fold(draw.fold(key, 0), 1)
    assert not torch.equal(nested, draw.fold(draw.fold(key, 1), 0))
    assert draw.fold(None, 3) is None
