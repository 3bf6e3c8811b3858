"""Dropout on the CPU from cheaper random bits, and attention that drops with it.

PyTorch draws a float for each number and compares it with the rate; sixteen random bits are enough, and a 64-bit draw
has four times sixteen. Its own attention with dropout also looks for rows that attend to nothing, which a batch of
sentences has not. Arguments have the names that PyTorch's functions give them.
"""

# B rows, H heads, L tokens of the longest row, E width of a head

import math

import torch
from torch import Tensor
from torch.nn import functional

_LEVELS = 2**16
_LOWEST = -(2**15)
"""Of sixteen bits read as a signed number."""


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return `functional.dropout` of the same, drawn from PyTorch's global generator as that is, but other masks.

    The rate is rounded to 1 / 65536, and what is kept is scaled by the rounded rate. The same seed and shape give the
    same mask in float32 and bfloat16; other types are left to PyTorch.
    """
    num_dropped = round(p * _LEVELS)
    if not training or inplace or num_dropped in (0, _LEVELS) or not _fits(input):
        return functional.dropout(input, p, training, inplace)
    bits = torch.empty(-(-input.numel() // 4), dtype=torch.int64)
    # All 64 bits; the default bounds would leave the highest one unset.
    bits.random_(-(2**63), None)
    kept = bits.view(torch.int16)[: input.numel()] >= _LOWEST + num_dropped
    # As floats, which are multiplied faster than booleans are converted, here and in the backward pass.
    return input * kept.to(input.dtype).mul_(_LEVELS / (_LEVELS - num_dropped)).view(input.shape)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return `functional.scaled_dot_product_attention` of the same, with `dropout`'s masks.

    Every query must attend to something. Without dropout, and with other types or a mask that is not boolean,
    PyTorch's own attention is taken.

    Args:
        query: (B, H, L, E).
        key: likewise.
        value: likewise.
        attn_mask: True where there is something to attend to; broadcasts to (B, H, L, L).
        dropout_p: share of the weights that are dropped.
        is_causal: left to PyTorch.
        scale: of the scores; none takes 1 / sqrt(E).
        enable_gqa: left to PyTorch.
    """
    fits = _fits(query) and (attn_mask is None or attn_mask.dtype is torch.bool)
    if dropout_p == 0.0 or is_causal or enable_gqa or not fits:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    # In float32 whatever the autocast mode, as PyTorch's own does without a fused kernel.
    with torch.autocast("cpu", enabled=False):
        return _attended(query.float(), key.float(), value.float(), attn_mask, dropout_p, factor).to(query.dtype)


def _attended(
    query_BHLE: Tensor, key_BHLE: Tensor, value_BHLE: Tensor, mask: Tensor | None, dropout_p: float, scale: float
) -> Tensor:
    scores_BHLL = torch.matmul(query_BHLE, key_BHLE.transpose(-2, -1))
    if mask is None:
        scores_BHLL = scores_BHLL * scale
    else:
        lowest = torch.finfo(scores_BHLL.dtype).min
        penalty = torch.zeros_like(mask, dtype=scores_BHLL.dtype).masked_fill_(mask.logical_not(), lowest)
        scores_BHLL = torch.add(penalty, scores_BHLL, alpha=scale)
    return torch.matmul(dropout(scores_BHLL.softmax(dim=-1), dropout_p), value_BHLE)


def _fits(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)
