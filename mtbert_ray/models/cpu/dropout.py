"""Dropout on the CPU from cheaper random bits, and attention that drops with it.

PyTorch draws a float for each number and compares it with the rate; sixteen random bits are enough, and a 64-bit draw
has four times sixteen. Its own attention with dropout also looks for rows that attend to nothing, of which there are
none here.
"""

# B rows, H heads, L tokens of the longest row, E width of a head

import math

import torch
from torch import Tensor
from torch.nn import functional

_LEVELS = 2**16
_LOWEST = -(2**15)
"""Of sixteen bits read as a signed number."""


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return `functional.dropout` of the same, drawn from PyTorch's global generator as that is, but other masks.

    The rate is rounded to 1 / 65536, and what is kept is scaled by the rounded rate, so that the mean stays. The same
    seed and shape give the same mask in float32 and bfloat16; other types keep PyTorch's own way.
    """
    num_dropped = round(p * _LEVELS)
    if not training or inplace or num_dropped in (0, _LEVELS) or not _fits(x):
        return functional.dropout(x, p, training, inplace)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
    # All 64 bits; the default bounds would leave the highest one unset.
    bits.random_(-(2**63), None)
    kept = bits.view(torch.int16)[: x.numel()] >= _LOWEST + num_dropped
    # As floats, which are multiplied faster than booleans are converted, here and in the backward pass.
    return x * kept.to(x.dtype).mul_(_LEVELS / (_LEVELS - num_dropped)).view(x.shape)


def attention(
    query_BHLE: Tensor,
    key_BHLE: Tensor,
    value_BHLE: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return `functional.scaled_dot_product_attention` of the same, with `dropout`'s masks.

    Every query must attend to something. Without dropout, and with other types or a mask that is not boolean,
    PyTorch's own attention is taken.
    """
    fits = _fits(query_BHLE) and (attn_mask is None or attn_mask.dtype is torch.bool)
    if dropout_p == 0.0 or is_causal or enable_gqa or not fits:
        return functional.scaled_dot_product_attention(
            query_BHLE, key_BHLE, value_BHLE, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    factor = 1 / math.sqrt(query_BHLE.shape[-1]) if scale is None else scale
    scores_BHLL = torch.matmul(query_BHLE, key_BHLE.transpose(-2, -1))
    if attn_mask is None:
        scores_BHLL = scores_BHLL * factor
    else:
        lowest = torch.finfo(scores_BHLL.dtype).min
        penalty = torch.zeros_like(attn_mask, dtype=scores_BHLL.dtype).masked_fill_(attn_mask.logical_not(), lowest)
        scores_BHLL = torch.add(penalty, scores_BHLL, alpha=factor)
    return torch.matmul(dropout(scores_BHLL.softmax(dim=-1), dropout_p), value_BHLE)


def _fits(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)
