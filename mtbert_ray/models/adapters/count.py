"""Counts a model's parameters. Knows adapters by the names of their parameters in the encoder only."""

from dataclasses import dataclass
from itertools import chain

from torch import nn

from mtbert_ray.models.encoder import Encoder

_ADAPTER_PREFIXES = ("lora_", "vera_")
"""Of a part of the dotted name of every tensor that an adapter adds, by peft or by loralib."""


@dataclass(frozen=True, kw_only=True)
class ParameterCounts:
    """How many numbers a model holds."""

    total: int
    """Encoder, adapters and heads; not the random matrices of VeRA, which are drawn from a seed and never trained."""
    trainable: int
    """Those that the optimizer changes: adapters and heads, or all."""
    adapter: int

    @property
    def trainable_percent(self) -> float:
        """Share of the trainable parameters in all."""
        return 100 * self.trainable / self.total

    @property
    def adapter_percent(self) -> float:
        """Share of the adapters' parameters in all: the "trainable share" that the paper prints."""
        return 100 * self.adapter / self.total


def count_parameters(model: nn.Module) -> ParameterCounts:
    """Count the parameters of a model, shared ones once."""
    parameters = list(model.parameters())
    # A task's head may have any name, that of an adapter's tensor too.
    in_encoders = chain.from_iterable(m.named_parameters() for m in model.modules() if isinstance(m, Encoder))
    return ParameterCounts(
        total=sum(parameter.numel() for parameter in parameters),
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        adapter=sum(parameter.numel() for name, parameter in in_encoders if is_of_adapter(name)),
    )


def is_of_adapter(name: str) -> bool:
    """Return whether a tensor of this name in an encoder belongs to an adapter."""
    return any(part.startswith(_ADAPTER_PREFIXES) for part in name.split("."))
