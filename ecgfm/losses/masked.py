"""Errors at the places that were hidden, as means over the world batch, in fp32."""

from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from ecgfm.losses.gather import total, world


def mean(value: Float[Tensor, "*S"], weight: Bool[Tensor, "*S"] | Float[Tensor, "*S"]) -> Float[Tensor, ""]:
    """The mean over the world batch of the values that count; zero where none does.

    Divided by the world's weight and not by this rank's, so that a rank whose rows count less weighs less.
    """
    weight = weight.float()
    return (value.float() * weight).sum() * (world() / total(weight.sum()).clamp(min=1))


def cross_entropy(
    logits: Float[Tensor, "*S C"], target: Int64[Tensor, "*S"], weight: Bool[Tensor, "*S"]
) -> Float[Tensor, ""]:
    value = functional.cross_entropy(logits.float().flatten(0, -2), target.flatten(), reduction="none")
    return mean(value.view(target.shape), weight)


def squared_error(
    guess: Float[Tensor, "*S P"], target: Float[Tensor, "*S P"], weight: Bool[Tensor, "*S"]
) -> Float[Tensor, ""]:
    return mean((guess.float() - target.float()).square().mean(-1), weight)
