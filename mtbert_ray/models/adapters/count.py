"""Counts a model's parameters. Knows adapters by the names of their parameters only."""

from dataclasses import dataclass

from torch import nn

ADAPTER_MARKS = ("lora_", "vera_")
"""One of them is in the name of every tensor that an adapter adds, by peft or by loralib."""


@dataclass(frozen=True, kw_only=True)
class ParameterCounts:
    """How many numbers a model holds."""

    total: int
    """Encoder, adapters and heads; not the random matrices of VeRA, which are drawn from a seed and never trained."""
    trainable: int
    """Those that the optimiser changes: adapters and heads, or all."""
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
    named = list(model.named_parameters())
    return ParameterCounts(
        total=sum(parameter.numel() for _, parameter in named),
        trainable=sum(parameter.numel() for _, parameter in named if parameter.requires_grad),
        adapter=sum(parameter.numel() for name, parameter in named if is_of_adapter(name)),
    )


def is_of_adapter(name: str) -> bool:
    """Return whether a tensor of this name belongs to an adapter."""
    return any(mark in name for mark in ADAPTER_MARKS)
