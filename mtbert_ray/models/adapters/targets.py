"""Which linear layers of an encoder get an adapter."""

import re

from torch import nn

from mtbert_ray.errors import ConfigError, did_you_mean


def target_layers(model: nn.Module, targets: tuple[str, ...]) -> dict[str, nn.Linear]:
    """Return the linear layers whose name is a target or ends in one, as peft chooses them."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and any(_is_meant(name, target) for target in targets)
    }


def check_targets(model: nn.Module, targets: tuple[str, ...]) -> None:
    """Check that there are targets and that each is found among the linear layers.

    Peft itself complains only when none of the targets is found, and takes other layers than linear ones.

    Raises:
        ConfigError: all that are not, with what there is.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    # "encoder.layer.3.attention.self.query" and its like in other layers are one choice: "attention.self.query".
    short = list(dict.fromkeys(re.split(r"\.\d+\.", name)[-1] for name in linear))
    last = list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in linear))
    problems = [
        f"adapter.target_modules: the encoder has no linear layer '{target}'; it has {', '.join(short)} "
        f"(the end of a name is enough){did_you_mean(target, last)}"
        for target in targets
        if not any(_is_meant(name, target) for name in linear)
    ]
    if not targets:
        problems.append(f"adapter.target_modules is empty; the encoder's linear layers are {', '.join(short)}")
    if problems:
        raise ConfigError(problems)


def _is_meant(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
