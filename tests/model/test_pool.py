"""The pools."""

import pytest
import torch

from ecgfm.model.pool import Bottleneck, Project, Queries


def test_first_reads_the_first_token() -> None:
    pool, tokens, mask = Project("first").build(6, 4), torch.randn(3, 5, 6), torch.ones(3, 5, dtype=torch.bool)
    torch.testing.assert_close(pool(tokens, mask), pool.map(tokens[:, 0]))


def test_the_paper_s_vectors_are_bounded() -> None:
    pool, tokens, mask = Project("first", True).build(6, 4), torch.randn(3, 5, 6), torch.ones(3, 5, dtype=torch.bool)
    torch.testing.assert_close(pool(tokens, mask), torch.tanh(pool.map(tokens[:, 0])))


@pytest.mark.parametrize("over", ["mean", "peaks"])
def test_padding_is_not_read(over: str) -> None:
    pool, tokens = Project(over).build(6, 4), torch.randn(3, 5, 6)
    mask = torch.arange(5) < torch.tensor([[5], [2], [1]])
    for row, count in enumerate((5, 2, 1)):
        own = tokens[row, :count]
        read = own.mean(0) if over == "mean" else torch.cat((own.mean(0), own.amax(0)))
        torch.testing.assert_close(pool(tokens, mask)[row], pool.map(read))


@pytest.mark.parametrize("over", ["first", "mean", "peaks"])
def test_width_may_change(over: str) -> None:
    assert Project(over).build(6, 4)(torch.randn(2, 3, 6), torch.ones(2, 3, dtype=torch.bool)).shape == (2, 4)


def queries(count: int, **changes) -> Bottleneck:
    torch.manual_seed(0)
    return Queries(count, **changes).build(6, 64).double()


def ragged(rows: int = 3, size: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rows, size, 6).double(), torch.arange(size) < torch.tensor([[size], [4], [1]])


@pytest.mark.parametrize("count", [1, 2, 8, 32])
@pytest.mark.parametrize("size", [1, 5, 300])
def test_as_many_vectors_as_queries_at_any_length(count: int, size: int) -> None:
    made = queries(count)(torch.randn(2, size, 6).double(), torch.ones(2, size, dtype=torch.bool))
    assert made.shape == (2, count, 64)
    assert made.isfinite().all()


def test_queries_do_not_see_what_is_masked() -> None:
    pool, (tokens, mask) = queries(4), ragged()
    other = torch.where(mask[..., None], tokens, 99.0)
    assert torch.equal(pool(tokens, mask), pool(other, mask))
    torch.testing.assert_close(pool(tokens[1:2], mask[1:2]), pool(tokens[1:2, :4], mask[1:2, :4]))


def test_queries_do_not_see_the_order() -> None:
    pool, (tokens, mask) = queries(4), ragged()
    torch.testing.assert_close(pool(tokens.flip(1), mask.flip(1)), pool(tokens, mask))


def test_other_queries_in_another_order_give_the_vectors_in_that_order() -> None:
    pool, (tokens, mask) = queries(4), ragged()
    before = pool(tokens, mask)
    with torch.no_grad():
        pool.queries.copy_(pool.queries[[2, 0, 3, 1]])
    torch.testing.assert_close(pool(tokens, mask), before[:, [2, 0, 3, 1]])


def test_without_the_residual_the_vectors_are_of_the_input_alone() -> None:
    """Where all tokens are one, every query is given the same."""
    tokens, mask = torch.randn(2, 1, 6).double().expand(-1, 5, -1), torch.ones(2, 5, dtype=torch.bool)
    same = queries(3, residual=False)(tokens, mask)
    torch.testing.assert_close(same, same[:, :1].expand(-1, 3, -1))
    own = queries(3)(tokens, mask)
    assert (own[:, 0] - own[:, 1]).abs().max() > 1e-3


def test_attention_says_where_a_vector_comes_from() -> None:
    pool, (tokens, mask) = queries(4), ragged()
    weight = pool.attention(tokens, mask)
    torch.testing.assert_close(weight.sum(-1), torch.ones(3, 4).double())
    assert not weight[~mask[:, None].expand(-1, 4, -1)].any()
    looking = tokens.clone().requires_grad_()
    pool(looking, mask)[0, 0].square().sum().backward()
    assert looking.grad[0].any(-1).all()
    assert not looking.grad[1:].any()


def test_at_least_one_query() -> None:
    with pytest.raises(ValueError, match="count=0"):
        Queries(0)
