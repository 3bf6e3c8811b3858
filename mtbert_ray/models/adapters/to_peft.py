"""A trained adapter as peft's own model around the encoder's original weights, for others to load."""

# I inputs and O outputs of a layer, R rank

import warnings

import torch
from peft import PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from mtbert_ray.config import AdapterConfig
from mtbert_ray.models.adapters.by_loralib import is_loralib_layer
from mtbert_ray.models.adapters.by_peft import ADAPTER_NAME, FROM_WEIGHTS, lora_config, vera_config
from mtbert_ray.models.adapters.count import is_of_adapter
from mtbert_ray.models.adapters.targets import resolved_targets, target_layers
from mtbert_ray.models.encoder import Encoder


def to_peft(encoder: Encoder, base: PreTrainedModel, adapter: AdapterConfig, *, seed: int) -> PeftModel:
    """Return the base with the encoder's adapter on it; its output is the encoder's, up to rounding.

    LoRA by loralib becomes LoRA by peft. PiSSA and OLoRA, which changed the frozen weights as well, become an adapter
    of twice the rank on the original ones, with scale 1.

    Args:
        encoder: with its trained adapter.
        base: the same encoder as it was before the adapter; is changed in place.
        adapter: that the encoder was given.
        seed: that the adapter was drawn with.
    """
    # Names in full: where it is loaded, the pooling layer may be there too, whose name may end like a target's.
    targets = list(target_layers(base, resolved_targets(base, adapter.target_modules)))
    if adapter.kind == "vera":
        config = vera_config(adapter, targets, seed=seed)
        tensors = _own_tensors(encoder.model)
    elif adapter.initialization in FROM_WEIGHTS:
        # At scale 1, alpha equals the rank.
        rank = 2 * adapter.rank
        twice = {"rank": rank, "alpha": float(rank), "rslora": False, "initialization": "default"}
        config = lora_config(adapter.model_copy(update=twice), targets)
        tensors = _own_tensors(encoder.model) | _differences(encoder.model, base, targets, rank)
    else:
        # What the matrices started from does not matter any more.
        config = lora_config(adapter.model_copy(update={"initialization": "default"}), targets)
        tensors = _own_tensors(encoder.model)
    config.task_type = "FEATURE_EXTRACTION"
    with warnings.catch_warnings():
        # Peft 0.21 asks transformers for an attribute under its old name.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        wrapped = get_peft_model(base, config, adapter_name=ADAPTER_NAME)
    # Of many names peft keeps only such ends as tell them apart in this base.
    wrapped.peft_config[ADAPTER_NAME].target_modules = targets
    result = wrapped.get_base_model().load_state_dict(tensors, strict=False)
    left_out = [name for name in result.missing_keys if is_of_adapter(name)]
    assert not left_out and not result.unexpected_keys, f"missing {left_out}, unexpected {result.unexpected_keys}"
    return wrapped


def _own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the adapter's tensors by the names that peft gives them inside its model."""
    by_loralib = {name for name, module in model.named_modules() if is_loralib_layer(module)}
    return {
        f"{name}.{ADAPTER_NAME}.weight" if name.rsplit(".", 1)[0] in by_loralib else name: tensor
        for name, tensor in model.state_dict().items()
        if is_of_adapter(name)
    }


def _differences(model: nn.Module, base: nn.Module, targets: list[str], rank: int) -> dict[str, Tensor]:
    """Return matrices A and B of what the adapted weights differ by from the original ones.

    The difference, what the adapter is now less what it took out of the weights, has at most twice its rank.
    """
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
