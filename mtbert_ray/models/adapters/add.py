"""From an AdapterConfig to an adapter in the encoder, with everything else in it frozen."""

from collections.abc import Callable

from torch import nn

from mtbert_ray.config import AdapterConfig
from mtbert_ray.models.adapters.by_loralib import add_loralib_lora
from mtbert_ray.models.adapters.by_peft import add_peft_lora, add_peft_vera
from mtbert_ray.models.adapters.targets import resolved_targets
from mtbert_ray.models.encoder import Encoder
from mtbert_ray.models.heads import seeded

ADAPTERS: dict[tuple[str, str], Callable[[nn.Module, AdapterConfig, int], None]] = {
    ("peft", "lora"): add_peft_lora,
    ("peft", "dora"): add_peft_lora,
    ("peft", "vera"): add_peft_vera,
    ("loralib", "lora"): add_loralib_lora,
}
"""(library, kind) -> puts it into a transformers model, its targets resolved, in place, and freezes the rest.

The third argument is the trial's seed, for what does not draw from the current generator.
"""


def add_adapter(encoder: Encoder, adapter: AdapterConfig, *, seed: int) -> None:
    """Put an adapter into the encoder and freeze everything else in it.

    The layers are replaced in place rather than the model wrapped, so parameter names keep the encoder's own paths.
    The encoder's output does not change until the adapter is trained, but for rounding with PiSSA and OLoRA, whose
    adapters take over a part of the weights. Their dropout then drops some of that part from the first step on.

    Args:
        encoder: plain.
        adapter: of a kind other than none.
        seed: of the adapter's random weights.

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
