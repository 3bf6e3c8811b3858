"""Adapters inside an encoder: added, merged into its weights, counted."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from mtbert_ray.compat import forget_peft_config
from mtbert_ray.config import AdapterConfig
from mtbert_ray.models.adapter_targets import is_of_adapter, resolved_targets
from mtbert_ray.models.encoder import Encoder
from mtbert_ray.models.heads import seeded
from mtbert_ray.models.loralib_adapters import add_loralib_lora, is_loralib_layer, merge_loralib_layer
from mtbert_ray.models.peft_adapters import add_peft_lora, add_peft_vera

ADAPTERS: dict[tuple[str, str], Callable[[nn.Module, AdapterConfig, int], None]] = {
    ("peft", "lora"): add_peft_lora,
    ("peft", "dora"): add_peft_lora,
    ("peft", "vera"): add_peft_vera,
    ("loralib", "lora"): add_loralib_lora,
}
"""(library, kind) -> adds it to a transformers model in place, its targets resolved, and freezes the rest.

The third argument is the trial's seed, for what does not draw from the current generator.
"""


def add_adapter(encoder: Encoder, adapter: AdapterConfig, *, seed: int) -> None:
    """Add an adapter to a plain encoder, in place, and freeze everything else in it.

    Layers are replaced rather than the model wrapped, so parameter names keep the encoder's own paths. The encoder's
    output does not change until the adapter is trained, but for rounding with PiSSA and OLoRA, whose adapters take over
    a part of the weights. Their dropout drops some of that part from the first step on.

    Raises:
        ConfigError: a target module that the encoder does not have, a rank that the initialization cannot fill, or a
            library that is not installed.
    """
    assert adapter.kind != "none", "the caller decides whether there is an adapter"
    targets = resolved_targets(encoder.model, adapter.target_modules)
    with seeded(seed, "adapter"):
        ADAPTERS[adapter.library, adapter.kind](
            encoder.model, adapter.model_copy(update={"target_modules": targets}), seed
        )


def merge_adapter(encoder: Encoder) -> None:
    """Replace every adapted layer by a plain one that computes the same, in place.

    The encoder then has the parameter names of one without an adapter. What was frozen stays frozen.
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
    forget_peft_config(encoder.model)


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
