"""LoRA, DoRA and VeRA through peft, and a trained adapter as peft's own model, for others to load."""

# I inputs and O outputs of a layer, R rank, K singular values

import warnings
from collections.abc import Sequence

import torch
from peft import LoraConfig, PeftModel, VeraConfig, VeraModel, get_peft_model, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from mtbert_ray.config import AdapterConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.adapter_targets import is_of_adapter, resolved_targets, target_layers
from mtbert_ray.models.encoder import Encoder
from mtbert_ray.models.loralib_adapters import is_loralib_layer

ADAPTER_NAME = "default"
"""Peft's name of an adapter that stands alone; a part of its parameters' names."""
FROM_WEIGHTS = ("pissa", "olora")
"""Initializations that take the adapter out of the weights, so the frozen weights change too."""


def add_peft_lora(model: nn.Module, adapter: AdapterConfig, seed: int) -> None:
    """Add LoRA (Hu et al. 2021) or DoRA (Liu et al. 2024) to a model; random weights come from the generator."""
    _check_rank(model, adapter)
    inject_adapter_in_model(_lora_config(adapter, adapter.target_modules), model, adapter_name=ADAPTER_NAME)


def add_peft_vera(model: nn.Module, adapter: AdapterConfig, seed: int) -> None:
    """Add VeRA (Kopiczko et al. 2023) to a model: one pair of random matrices, drawn with the seed, for all layers.

    Each layer trains two vectors that scale them. The matrices are buffers, shared by the layers.
    """
    # inject_adapter_in_model refuses matrices that layers share.
    VeraModel(model, _vera_config(adapter, adapter.target_modules, seed=seed), ADAPTER_NAME)


def _lora_config(adapter: AdapterConfig, targets: Sequence[str]) -> LoraConfig:
    return LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=list(targets),
        use_rslora=adapter.rslora,
        use_dora=adapter.kind == "dora",
        init_lora_weights=True if adapter.initialization == "default" else adapter.initialization,
        bias="none",
    )


def _vera_config(adapter: AdapterConfig, targets: Sequence[str], *, seed: int) -> VeraConfig:
    return VeraConfig(
        r=adapter.rank,
        vera_dropout=adapter.dropout,
        target_modules=list(targets),
        projection_prng_key=seed,
        save_projection=True,  # A seed gives the same matrices only within one version of torch.
        bias="none",
    )


def frozen_weights_changed(adapter: AdapterConfig, name: str) -> bool:
    """Return whether adding the adapter changed the frozen parameter of this name."""
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


def to_peft(encoder: Encoder, base: PreTrainedModel, adapter: AdapterConfig, *, seed: int) -> PeftModel:
    """Return the base with the encoder's adapter on it; its output is the encoder's, up to rounding.

    LoRA by loralib becomes LoRA by peft. PiSSA and OLoRA, which changed the frozen weights as well, become an adapter
    of twice the rank on the original ones, with scale 1. The base is the same encoder as it was before the adapter;
    it is changed in place. The seed is the one that the adapter was drawn with.
    """
    # Names in full: where it is loaded, the pooling layer may be there too, whose name may end like a target's.
    targets = list(target_layers(base, resolved_targets(base, adapter.target_modules)))
    tensors = _adapter_tensors(encoder.model)
    if adapter.kind == "vera":
        config = _vera_config(adapter, targets, seed=seed)
    else:
        # The matrices are given, so their initialization no longer matters.
        plain: dict[str, object] = {"initialization": "default"}
        if adapter.initialization in FROM_WEIGHTS:
            rank = 2 * adapter.rank
            plain |= {"rank": rank, "alpha": float(rank), "rslora": False}  # alpha = rank is scale 1
            tensors |= _differences(encoder.model, base, targets, rank)
        config = _lora_config(adapter.model_copy(update=plain), targets)
    config.task_type = "FEATURE_EXTRACTION"
    with warnings.catch_warnings():
        # Peft 0.21 asks transformers for an attribute under its old name.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        wrapped = get_peft_model(base, config, adapter_name=ADAPTER_NAME)
    # Peft shortens many names to ends that are unique in this base.
    wrapped.peft_config[ADAPTER_NAME].target_modules = targets
    result = wrapped.get_base_model().load_state_dict(tensors, strict=False)
    left_out = [name for name in result.missing_keys if is_of_adapter(name)]
    assert not left_out and not result.unexpected_keys, f"missing {left_out}, unexpected {result.unexpected_keys}"
    return wrapped


def _adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the adapter's tensors by the names that peft gives them inside its model."""
    by_loralib = {name for name, module in model.named_modules() if is_loralib_layer(module)}
    return {
        f"{name}.{ADAPTER_NAME}.weight" if name.rsplit(".", 1)[0] in by_loralib else name: tensor
        for name, tensor in model.state_dict().items()
        if is_of_adapter(name)
    }


def _differences(model: nn.Module, base: nn.Module, targets: list[str], rank: int) -> dict[str, Tensor]:
    """Return A and B of the difference between adapted and original weights, which has at most twice the rank."""
    tensors: dict[str, Tensor] = {}
    for name in targets:
        layer, plain = model.get_submodule(name), base.get_submodule(name)
        assert isinstance(layer, LoraLayer) and isinstance(plain, nn.Linear)
        weight_OI = layer.get_base_layer().weight.double()
        a_RI, b_OR = (part[ADAPTER_NAME].weight.double() for part in (layer.lora_A, layer.lora_B))
        difference_OI = weight_OI + layer.scaling[ADAPTER_NAME] * b_OR @ a_RI - plain.weight.double()
        a_RI, b_OR = _low_rank(difference_OI.detach(), rank)
        tensors |= {
            f"{name}.lora_A.{ADAPTER_NAME}.weight": a_RI.to(plain.weight.dtype),
            f"{name}.lora_B.{ADAPTER_NAME}.weight": b_OR.to(plain.weight.dtype),
        }
    return tensors


def _low_rank(matrix_OI: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return a_RI and b_OR whose product is the best one of that rank; zeros fill up a rank that it cannot have."""
    left_OK, values_K, right_KI = torch.linalg.svd(matrix_OI, full_matrices=False)
    roots_K = values_K[:rank].sqrt()
    missing = rank - len(roots_K)
    a_RI = nn.functional.pad(roots_K[:, None] * right_KI[:rank], (0, 0, 0, missing))
    b_OR = nn.functional.pad(left_OK[:, :rank] * roots_K, (0, missing))
    return a_RI, b_OR
