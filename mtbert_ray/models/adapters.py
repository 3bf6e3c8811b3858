"""LoRA and DoRA inside an encoder, through peft, and the counting of parameters. Knows nothing of heads or tasks."""

import re
from dataclasses import dataclass

from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from mtbert_ray.config import AdapterConfig
from mtbert_ray.errors import ConfigError, did_you_mean
from mtbert_ray.models.encoder import Encoder
from mtbert_ray.models.initialisation import seeded

_ADAPTER_MARK = "lora_"
"""In the name of every parameter that peft's LoRA and DoRA add."""


def add_adapter(encoder: Encoder, adapter: AdapterConfig, *, seed: int) -> None:
    """Put a LoRA (Hu et al. 2021) or DoRA (Liu et al. 2024) adapter into the encoder and freeze everything else in it.

    The layers are replaced in place rather than the model wrapped, so parameter names keep the encoder's own paths.
    The encoder's output does not change until the adapter is trained.

    Raises:
        ConfigError: a target module that the encoder does not have.
    """
    assert adapter.kind != "none", "the caller decides whether there is an adapter"
    _check_targets(encoder.model, adapter.target_modules)
    lora = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=list(adapter.target_modules),
        use_rslora=adapter.rslora,
        use_dora=adapter.kind == "dora",
        bias="none",
    )
    with seeded(seed, "adapter"):
        inject_adapter_in_model(lora, encoder.model)


def _check_targets(model: nn.Module, targets: tuple[str, ...]) -> None:
    """Peft itself complains only when none of the targets is found, and takes other layers than linear ones."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    # "encoder.layer.3.attention.self.query" and its like in other layers are one choice: "attention.self.query".
    short = list(dict.fromkeys(re.split(r"\.\d+\.", name)[-1] for name in linear))
    last = list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in linear))
    problems = [
        f"adapter.target_modules: the encoder has no linear layer '{target}'; it has {', '.join(short)} "
        f"(the end of a name is enough){did_you_mean(target, last)}"
        for target in targets
        if not any(name == target or name.endswith(f".{target}") for name in linear)
    ]
    if not targets:
        problems.append(f"adapter.target_modules is empty; the encoder's linear layers are {', '.join(short)}")
    if problems:
        raise ConfigError(problems)


@dataclass(frozen=True, kw_only=True)
class ParameterCounts:
    """How many numbers a model holds."""

    total: int
    """Encoder, adapters and heads."""
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
        adapter=sum(parameter.numel() for name, parameter in named if _ADAPTER_MARK in name),
    )
