"""Dropout, attention and linear layers that are faster on the CPU than PyTorch's own, with the same arguments.

Dropout: PyTorch draws a float for each number and compares it with the rate; sixteen random bits are enough, and a
64-bit draw has four times sixteen. Attention: PyTorch's own with dropout also looks for rows that attend to nothing,
which a batch of sentences has not. Linear layers: PyTorch multiplies float32 matrices with Intel's MKL, which on other
makers' processors leaves AVX-512 unused; oneDNN, which PyTorch also brings, uses it and is twice as fast there.
"""

# B rows, H heads, L tokens of the longest row, E width of a head, N tokens, I inputs, O outputs

import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mtbert_ray.compat import cpu_has_avx512, has_onednn_linear, onednn_linear

_LEVELS = 2**16
_LOWEST = -(2**15)
"""Of sixteen bits read as a signed number."""


@contextmanager
def quick_on_cpu(*, linears: bool | None = None) -> Iterator[None]:
    """Let what is called inside, and its backward pass, use the faster functions of this module.

    `linears` says whether linear layers go through oneDNN; none decides by the processor.
    """
    replacements: dict[Callable[..., Any], Callable[..., Any]] = {
        functional.dropout: dropout,
        functional.scaled_dot_product_attention: attention,
    }
    if linears or (linears is None and _onednn_pays()):
        replacements[functional.linear] = linear
    with _Replaced(replacements):
        yield


class _Replaced(TorchFunctionMode):
    def __init__(self, replacements: Mapping[Callable[..., Any], Callable[..., Any]]) -> None:
        super().__init__()
        self._replacements = replacements

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        # Here the mode is off, so that a replacement may call what it replaces.
        return self._replacements.get(func, func)(*args, **(kwargs or {}))


@cache
def _onednn_pays() -> bool:
    """Return whether this processor has AVX-512 that MKL does not use."""
    return (
        torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
        and has_onednn_linear()
        and cpu_has_avx512()
        and "AuthenticAMD" in _processor()
    )


def _processor() -> str:
    description = Path("/proc/cpuinfo")
    return description.read_text(encoding="utf-8") if description.exists() else platform.processor()


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Replace `functional.dropout`; the masks come from PyTorch's global generator too, but are others.

    The rate is rounded to 1 / 65536, and what is kept is scaled by the rounded rate. The same seed and shape give the
    same mask in float32 and bfloat16; other types are left to PyTorch.
    """
    num_dropped = round(p * _LEVELS)
    if not training or inplace or num_dropped in (0, _LEVELS) or not _is_short_float(input):
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
    """Replace `functional.scaled_dot_product_attention` where it has dropout, with `dropout`'s masks.

    Without dropout, and with other types, `is_causal`, `enable_gqa` or a mask that is not boolean, it is PyTorch's own.
    Query, key and value are (B, H, L, E). The mask is True where there is something to attend to, for every query at
    least once, and broadcasts to (B, H, L, L). The scores are multiplied by `scale`; none takes 1 / sqrt(E).
    """
    fits = _is_short_float(query) and (attn_mask is None or attn_mask.dtype is torch.bool)
    if dropout_p == 0.0 or is_causal or enable_gqa or not fits:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    # In float32 whatever the autocast mode, as PyTorch's own does without a fused kernel.
    with torch.autocast("cpu", enabled=False):
        scores_BHLL = torch.matmul(query.float(), key.float().transpose(-2, -1))
        if attn_mask is None:
            scores_BHLL = scores_BHLL * factor
        else:
            lowest = torch.finfo(scores_BHLL.dtype).min
            penalty = torch.zeros_like(attn_mask, dtype=scores_BHLL.dtype).masked_fill_(attn_mask.logical_not(), lowest)
            scores_BHLL = torch.add(penalty, scores_BHLL, alpha=factor)
        return torch.matmul(dropout(scores_BHLL.softmax(dim=-1), dropout_p), value.float()).to(query.dtype)


def _is_short_float(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Replace `functional.linear` by oneDNN's; what is not float32 on the CPU is left to PyTorch."""
    is_float32 = all(x is None or (x.dtype is torch.float32 and x.device.type == "cpu") for x in (input, weight, bias))
    if input.ndim < 2 or torch.is_autocast_enabled("cpu") or not is_float32:
        return functional.linear(input, weight, bias)
    # In two dimensions: the operation would give a view, which autograd forbids its caller to change in place.
    result_NO: Tensor = _Linear.apply(input.flatten(0, -2), weight, bias)  # type: ignore[no-untyped-call]
    return result_NO.view(*input.shape[:-1], -1)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x_NI, weight_OI)
        return onednn_linear(x_NI, weight_OI, bias_O)

    @staticmethod
    def backward(ctx: Any, grad_NO: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # noqa: ANN401
        x_NI, weight_OI = ctx.saved_tensors
        by_x, by_weight, by_bias = ctx.needs_input_grad
        return (
            onednn_linear(grad_NO, weight_OI.t(), None) if by_x else None,
            onednn_linear(grad_NO.t(), x_NI.t(), None) if by_weight else None,
            grad_NO.sum(dim=0) if by_bias else None,
        )
