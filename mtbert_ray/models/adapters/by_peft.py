"""LoRA, DoRA and VeRA through peft."""

from collections.abc import Sequence
from typing import Literal

from peft import LoraConfig, VeraConfig, VeraModel, inject_adapter_in_model
from torch import nn

from mtbert_ray.config import AdapterConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.adapters.targets import target_layers

ADAPTER_NAME = "default"
"""Peft's name of an adapter that stands alone; a part of its parameters' names."""
FROM_WEIGHTS = ("pissa", "olora")
"""Initializations that take the adapter out of the weights, so that the frozen weights change too."""
_INITIALIZATIONS: dict[str, bool | Literal["gaussian", "pissa", "olora"]] = {
    "default": True,
    "gaussian": "gaussian",
    "pissa": "pissa",
    "olora": "olora",
}
"""AdapterConfig.initialization -> peft's `init_lora_weights`."""


def add_peft_lora(model: nn.Module, adapter: AdapterConfig, seed: int) -> None:
    """Put LoRA (Hu et al. 2021) or DoRA (Liu et al. 2024) into a model; random weights come from the generator."""
    _check_rank(model, adapter)
    inject_adapter_in_model(lora_config(adapter, adapter.target_modules), model, adapter_name=ADAPTER_NAME)


def add_peft_vera(model: nn.Module, adapter: AdapterConfig, seed: int) -> None:
    """Put VeRA (Kopiczko et al. 2023) into a model: one pair of random matrices, drawn with the seed, for all layers.

    Each layer trains two vectors that scale them. The matrices are buffers, shared by the layers.
    """
    # Injection alone refuses what layers share; the tuner does the same, and its layers keep what they share alive.
    VeraModel(model, vera_config(adapter, adapter.target_modules, seed=seed), ADAPTER_NAME)


def lora_config(adapter: AdapterConfig, targets: Sequence[str]) -> LoraConfig:
    """Return peft's configuration of a LoRA or DoRA adapter on these layers."""
    return LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=list(targets),
        use_rslora=adapter.rslora,
        use_dora=adapter.kind == "dora",
        init_lora_weights=_INITIALIZATIONS[adapter.initialization],
        bias="none",
    )


def vera_config(adapter: AdapterConfig, targets: Sequence[str], *, seed: int) -> VeraConfig:
    """Return peft's configuration of a VeRA adapter on these layers.

    The random matrices are saved with the adapter: a seed gives the same numbers only within one version of torch.
    """
    return VeraConfig(
        r=adapter.rank,
        vera_dropout=adapter.dropout,
        target_modules=list(targets),
        projection_prng_key=seed,
        save_projection=True,
        bias="none",
    )


def frozen_weights_changed(adapter: AdapterConfig, name: str) -> bool:
    """Return whether putting the adapter in changed the frozen parameter of this name."""
    return adapter.kind != "none" and adapter.initialization in FROM_WEIGHTS and name.endswith(".base_layer.weight")


def _check_rank(model: nn.Module, adapter: AdapterConfig) -> None:
    if adapter.initialization not in FROM_WEIGHTS:
        return
    name, smallest = min(
        ((name, min(layer.weight.shape)) for name, layer in target_layers(model, adapter.target_modules).items()),
        key=lambda found: found[1],
    )
    if adapter.rank > smallest:
        raise ConfigError(
            [
                f"adapter.rank {adapter.rank} is more than adapter.initialization '{adapter.initialization}' can take "
                f"from the weights of {name}, which have rank {smallest}; lower it, or use another initialization"
            ]
        )
