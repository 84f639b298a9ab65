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


def ragged(rows: int = 3, size: int = 9) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, which of them there are, and when those after the first are."""
    counts = torch.tensor([[size], [4], [1]])
    return torch.randn(rows, size, 6).double(), torch.arange(size) < counts, times(size - 1, counts - 1)


def times(places: int, counts: torch.Tensor) -> torch.Tensor:
    return (torch.arange(places) + 0.5).double() / counts.clamp(min=1)


@pytest.mark.parametrize("count", [1, 2, 8, 32])
@pytest.mark.parametrize("size", [1, 5, 300])
def test_as_many_vectors_as_queries_at_any_length(count: int, size: int) -> None:
    time = times(size - 1, torch.tensor([[size - 1]] * 2))
    made = queries(count)(torch.randn(2, size, 6).double(), torch.ones(2, size, dtype=torch.bool), time)
    assert made.shape == (2, count, 64)
    assert made.isfinite().all()


def test_queries_do_not_see_what_is_masked() -> None:
    pool, (tokens, mask, time) = queries(4), ragged()
    other, when = torch.where(mask[..., None], tokens, 99.0), torch.where(mask[:, 1:], time, 0.1)
    assert torch.equal(pool(tokens, mask, time), pool(other, mask, when))
    torch.testing.assert_close(
        pool(tokens[1:2], mask[1:2], time[1:2]), pool(tokens[1:2, :4], mask[1:2, :4], time[1:2, :3])
    )


@pytest.mark.parametrize("local", [True, False])
def test_queries_see_when_and_not_in_which_order(local: bool) -> None:
    pool, (tokens, mask, time) = queries(4, local=local), ragged()
    turned = [0, *range(8, 0, -1)]
    later = pool(tokens[:, turned], mask[:, turned], time.flip(1))
    torch.testing.assert_close(later, pool(tokens, mask, time))
    elsewhen = pool(tokens, mask, time.flip(1))
    assert torch.allclose(elsewhen[0], later[0]) == (not local)


def test_other_queries_in_another_order_give_the_vectors_in_that_order() -> None:
    pool, (tokens, mask, time) = queries(4, local=False), ragged()
    before = pool(tokens, mask, time)
    with torch.no_grad():
        pool.queries.copy_(pool.queries[[2, 0, 3, 1]])
    torch.testing.assert_close(pool(tokens, mask, time), before[:, [2, 0, 3, 1]])


def test_a_query_begins_at_its_stretch_of_the_recording_whatever_its_length() -> None:
    """Where tokens tell nothing, attention is the bell alone: a share of exp(-d^2), at a distance of d stretches."""
    for places in (8, 80):
        tokens, mask = torch.zeros(1, 1 + places, 6).double(), torch.ones(1, 1 + places, dtype=torch.bool)
        time = times(places, torch.tensor([[places]]))
        weight = queries(4).attention(tokens, mask, time)[0]
        away = 4 * ((torch.arange(4) + 0.5)[:, None] / 4 - time)
        bell = torch.cat((torch.ones(4, 1), (-away.square()).exp()), dim=1)
        torch.testing.assert_close(weight, (bell / bell.sum(1, keepdim=True)).double())
        assert (weight[:, 1:].argmax(1) * 4 // places).tolist() == [0, 1, 2, 3]


def test_without_the_residual_the_vectors_are_of_the_input_alone() -> None:
    """Where all tokens are one, every query is given the same."""
    tokens, mask = torch.randn(2, 1, 6).double().expand(-1, 5, -1), torch.ones(2, 5, dtype=torch.bool)
    time = times(4, torch.tensor([[4]] * 2))
    same = queries(3, residual=False)(tokens, mask, time)
    torch.testing.assert_close(same, same[:, :1].expand(-1, 3, -1))
    own = queries(3)(tokens, mask, time)
    assert (own[:, 0] - own[:, 1]).abs().max() > 1e-3


def test_attention_says_where_a_vector_comes_from() -> None:
    pool, (tokens, mask, time) = queries(4), ragged()
    weight = pool.attention(tokens, mask, time)
    torch.testing.assert_close(weight.sum(-1), torch.ones(3, 4).double())
    assert not weight[~mask[:, None].expand(-1, 4, -1)].any()
    looking = tokens.clone().requires_grad_()
    pool(looking, mask, time)[0, 0].square().sum().backward()
    assert looking.grad[0].any(-1).all()
    assert not looking.grad[1:].any()


def test_at_least_one_query() -> None:
    with pytest.raises(ValueError, match="count=0"):
        Queries(0)
