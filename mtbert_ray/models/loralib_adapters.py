"""LoRA through loralib, Microsoft's own library (Hu et al. 2021). An optional dependency.

Its layers are nn.Linear with `lora_A` and `lora_B` next to the weight, so the encoder's parameter names stay.
"""

import math

import torch
from torch import nn

from mtbert_ray.config import AdapterConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.adapter_targets import target_layers


def add_loralib_lora(model: nn.Module, adapter: AdapterConfig, seed: int) -> None:
    """Replace the targets by loralib's layers around the same weights; A is drawn from the generator.

    Raises:
        ConfigError: loralib is not installed.
    """
    try:
        import loralib  # an optional dependency
    except ImportError as error:
        raise ConfigError(
            [
                "adapter.library 'loralib' is not installed; run: pip install 'mtbert-ray[loralib]', or set "
                "adapter.library to peft"
            ]
        ) from error
    # Its mark_only_lora_as_trainable would freeze the heads as well, had it the whole model.
    model.requires_grad_(False)
    for name, plain in target_layers(model, adapter.target_modules).items():
        layer = loralib.Linear(
            plain.in_features,
            plain.out_features,
            bias=plain.bias is not None,
            r=adapter.rank,
            lora_alpha=adapter.alpha,
            lora_dropout=adapter.dropout,
            # Or eval() would add the update to the weight and train() subtract it again, which leaves rounding errors.
            merge_weights=False,
        )
        layer.weight, layer.bias = plain.weight, plain.bias
        if adapter.rslora:  # unknown to loralib
            layer.scaling = adapter.alpha / math.sqrt(adapter.rank)
        layer.train(plain.training)
        model.set_submodule(name, layer)


def is_loralib_layer(module: nn.Module) -> bool:
    """Return whether a module is a loralib layer, also where loralib cannot be imported."""
    return isinstance(module, nn.Linear) and hasattr(module, "lora_A")


@torch.no_grad()
def merge_loralib_layer(layer: nn.Linear) -> nn.Linear:
    """Return a plain layer that computes the same."""
    update = layer.lora_B @ layer.lora_A * layer.scaling  # type: ignore[operator]
    # On the meta device: initialization would draw from the global generator.
    plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
    plain.weight = nn.Parameter(layer.weight + update, requires_grad=layer.weight.requires_grad)
    plain.bias = layer.bias
    return plain.train(layer.training)
