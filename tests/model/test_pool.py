"""The pools."""

import pytest
import torch

from ecgfm.model.pool import Project


def test_first_reads_the_first_token() -> None:
    pool, tokens, mask = Project("first").build(6, 4), torch.randn(3, 5, 6), torch.ones(3, 5, dtype=torch.bool)
    torch.testing.assert_close(pool(tokens, mask), torch.tanh(pool.map(tokens[:, 0])))


def test_mean_reads_what_is_not_padding() -> None:
    pool, tokens = Project("mean").build(6, 4), torch.randn(3, 5, 6)
    mask = torch.arange(5) < torch.tensor([[5], [2], [1]])
    for row, count in enumerate((5, 2, 1)):
        expected = torch.tanh(pool.map(tokens[row, :count].mean(0)))
        torch.testing.assert_close(pool(tokens, mask)[row], expected)


@pytest.mark.parametrize("over", ["first", "mean"])
def test_width_may_change(over: str) -> None:
    assert Project(over).build(6, 4)(torch.randn(2, 3, 6), torch.ones(2, 3, dtype=torch.bool)).shape == (2, 4)
