"""Folds an adapter into the encoder's own weights."""

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from mtbert_ray.models.adapters.by_loralib import is_loralib_layer, merge_loralib_layer
from mtbert_ray.models.encoder import Encoder


def merge_adapter(encoder: Encoder) -> None:
    """Replace every adapted layer by a plain one that computes the same, in place.

    The encoder then has the parameter names of one without an adapter, and gives the same output up to rounding.
    Nothing happens to an encoder without an adapter. What was frozen stays frozen.
    """
    for name, module in list(encoder.model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            plain = module.get_base_layer()
            assert isinstance(plain, nn.Linear), "adapters are put on linear layers only"
            encoder.model.set_submodule(name, plain)
        elif is_loralib_layer(module):
            assert isinstance(module, nn.Linear)
            encoder.model.set_submodule(name, merge_loralib_layer(module))
    # Peft leaves its configuration at the model, which transformers would take for a sign of an adapter.
    if hasattr(encoder.model, "peft_config"):
        del encoder.model.peft_config
