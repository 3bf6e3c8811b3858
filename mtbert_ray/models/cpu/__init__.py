"""What a forward pass does in another way on the CPU, because it is quicker. Knows layers, not models."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mtbert_ray.models.cpu.dropout import attention, dropout
from mtbert_ray.models.cpu.linear import linear, pays

_ALWAYS: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.dropout: dropout,
    functional.scaled_dot_product_attention: attention,
}


@contextmanager
def quick_on_cpu(*, linears: bool | None = None) -> Iterator[None]:
    """Let what is called inside, and its backward pass, take the quicker way of each function that has one.

    Args:
        linears: whether linear layers go through oneDNN; none decides by the processor.
    """
    through_onednn = pays() if linears is None else linears
    with _Replaced({**_ALWAYS, functional.linear: linear} if through_onednn else _ALWAYS):
        yield


class _Replaced(TorchFunctionMode):
    def __init__(self, quicker: Mapping[Callable[..., Any], Callable[..., Any]]) -> None:
        super().__init__()
        self._quicker = quicker

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        # Here the mode is off, so that a replacement may call what it replaces.
        return self._quicker.get(func, func)(*args, **(kwargs or {}))
