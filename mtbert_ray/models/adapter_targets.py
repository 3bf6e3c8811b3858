"""Which linear layers of an encoder get an adapter, and which of its tensors are the adapter's."""

import logging
import re
from collections.abc import Sequence
from functools import cache

from torch import nn

from mtbert_ray.errors import ConfigError, did_you_mean

_log = logging.getLogger(__name__)

ROLES: dict[str, tuple[str, ...]] = {
    "query": ("query", "query_proj", "q_proj", "q_lin", "attn.q", "q_head"),
    "key": ("key", "key_proj", "k_proj", "k_lin", "attn.k", "k_head"),
    "value": ("value", "value_proj", "v_proj", "v_lin", "attn.v", "v_head"),
    "output": ("attention.output.dense", "o_proj", "out_lin", "attn.o", "attention.dense", "attn.Wo", "post_proj"),
}
"""A projection of the attention -> how the names of the layers that compute it end: BERT and its near relatives,
DeBERTa, EuroBERT and nomic_bert and gte, DistilBERT, MPNet, Funnel; of the output also ALBERT and ModernBERT."""
_FUSED = ("Wqkv", "qkv_proj", "in_proj", "query_key_value", "qkv")
"""Layers that compute query, key and value in one: ModernBERT's, DeBERTa's of the first version, and future ones."""
_ADAPTER_PREFIXES = ("lora_", "vera_")
"""Of a part of the dotted name of every tensor that an adapter adds, by peft or by loralib."""


def is_of_adapter(name: str) -> bool:
    """Return whether a tensor of this name in an encoder belongs to an adapter."""
    return any(part.startswith(_ADAPTER_PREFIXES) for part in name.split("."))


def target_layers(model: nn.Module, targets: Sequence[str]) -> dict[str, nn.Linear]:
    """Return the linear layers whose name is a target or ends in one, as peft chooses them."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and any(_matches(name, target) for target in targets)
    }


def resolved_targets(model: nn.Module, targets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the targets by names that this encoder's linear layers end in.

    A target is the end of a name, or one of `ROLES`, which means that projection by the encoder's own name. Where one
    layer computes query, key and value, it stands for each, with a warning once a process. (Peft complains only when
    none of the targets is found, and takes other layers than linear ones.)

    Raises:
        ConfigError: there are none, or some mean no layer: all of them, with the layers that there are.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    # "encoder.layer.3.attention.self.query" and its like in other layers are one choice: "attention.self.query".
    short = list(dict.fromkeys(re.split(r"\.\d+\.", name)[-1] for name in linear))
    last = [*dict.fromkeys(name.rsplit(".", 1)[-1] for name in linear), *ROLES]
    found = {target: _names_of(target, linear) for target in targets}
    problems = [
        f"adapter.target_modules: the encoder has no linear layer '{target}'; it has {', '.join(short)} "
        f"(the end of a name is enough){did_you_mean(target, last)}"
        for target, names in found.items()
        if not names
    ]
    if not targets:
        problems.append(f"adapter.target_modules is empty; the encoder's linear layers are {', '.join(short)}")
    if problems:
        raise ConfigError(problems)
    fused = [name for target, names in found.items() if target in ROLES for name in names if name in _FUSED]
    if fused:
        _warn_fused(type(model).__name__, fused[0])
    return tuple(dict.fromkeys(name for names in found.values() for name in names))


def _names_of(target: str, linear: Sequence[str]) -> list[str]:
    """Return the ends of names that a target stands for: itself, else those of its role, else of a fused layer."""
    choices = [(target,), ROLES.get(target, ()), () if target not in ROLES or target == "output" else _FUSED]
    for ends in choices:
        if present := [end for end in ends if any(_matches(name, end) for name in linear)]:
            return present
    return []


@cache
def _warn_fused(encoder: str, layer: str) -> None:
    _log.warning(
        "adapter.target_modules: the encoder (%s) computes query, key and value in one layer, %s: the adapter is put "
        "on it, so on all three",
        encoder,
        layer,
    )


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
