"""Attention with a learnt bias on its scores, as T5 has it, that keeps nothing of a map's size per record.

A fused kernel cannot be given such a bias together with a mask but as one tensor, [records, heads, words, words], and
where the bias learns, torch on a CPU writes out the scores as well. Twelve layers of base size keep 5 GB of each for
128 reports of 256 words. Here backward is left with what forward was given, and computes the attention once more.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "biased"  # among the attentions of transformers


def attend(
    module: nn.Module,
    query: Float[Tensor, "B h W d"],
    key: Float[Tensor, "B h W d"],
    value: Float[Tensor, "B h W d"],
    mask: Bool[Tensor, "B 1 _ W"] | None,
    scaling: float | None = None,
    position_bias: Float[Tensor, "1 h W W"] | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "B W h d"], None]:
    """What transformers calls in the place of its own; without a bias, its own."""
    if position_bias is None:
        return sdpa_attention_forward(module, query, key, value, mask, scaling=scaling, **others)
    made = _Recomputed.apply(query, key, value, position_bias.to(query.dtype), mask, scaling)
    return made.transpose(1, 2).contiguous(), None


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, *given: Any) -> Tensor:
        *tensors, ctx.scaling = given  # pyright: ignore[reportAttributeAccessIssue]
        ctx.save_for_backward(*tensors)
        return _attention(*given)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *learning, mask = ctx.saved_tensors
        learning = [one.detach().requires_grad_() for one in learning]
        with torch.enable_grad():
            made = _attention(*learning, mask, ctx.scaling)
        return (*torch.autograd.grad(made, learning, gradients), None, None)


def _attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, mask: Tensor | None, scaling: float | None
) -> Tensor:
    if mask is not None:
        bias = torch.where(mask, bias, torch.finfo(bias.dtype).min)
    return scaled_dot_product_attention(query, key, value, bias, scale=scaling)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
