"""Linear layers through oneDNN on processors where PyTorch's own choice for float32 is half as fast.

PyTorch multiplies float32 matrices with Intel's MKL, which on other makers' processors leaves AVX-512 unused. oneDNN,
which PyTorch also brings, uses it: the same float32 sums, in another order.
"""

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# N tokens, I inputs, O outputs


@cache
def pays() -> bool:
    """Return whether this processor has AVX-512 that MKL does not use."""
    return (
        torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
        and can_multiply()
        and torch.cpu._is_avx512_supported()
        and "AuthenticAMD" in _processor()
    )


def can_multiply() -> bool:
    """Return whether this PyTorch has the operation, which is not part of its public interface."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `functional.linear` of the same, whose names these are; what is not float32 on the CPU is left to it."""
    if input.ndim < 2 or not _fits(input, weight, bias):
        return functional.linear(input, weight, bias)
    # In two dimensions: the operation would give a view, which autograd forbids its caller to change in place.
    result_NO: Tensor = _Linear.apply(input.flatten(0, -2), weight, bias)  # type: ignore[no-untyped-call]
    result = result_NO.view(*input.shape[:-1], -1)
    return result


def _fits(*tensors: Tensor | None) -> bool:
    return not torch.is_autocast_enabled("cpu") and all(
        x is None or (x.dtype is torch.float32 and x.device.type == "cpu") for x in tensors
    )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x_NI, weight_OI)
        return _product(x_NI, weight_OI, bias_O)

    @staticmethod
    def backward(ctx: Any, grad_NO: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # noqa: ANN401
        x_NI, weight_OI = ctx.saved_tensors
        by_x, by_weight, by_bias = ctx.needs_input_grad
        return (
            _product(grad_NO, weight_OI.t()) if by_x else None,
            _product(grad_NO.t(), x_NI.t()) if by_weight else None,
            grad_NO.sum(dim=0) if by_bias else None,
        )


def _product(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight_OI, bias_O, "none", [], "")
    return result


def _processor() -> str:
    description = Path("/proc/cpuinfo")
    return description.read_text(encoding="utf-8") if description.exists() else platform.processor()
