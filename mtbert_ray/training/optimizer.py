"""AdamW and its learning-rate schedule."""

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from mtbert_ray.config import TrialConfig

LORA_PLUS_MARK = "lora_B"
"""In the name of every matrix B of LoRA and DoRA, with either library."""


def make_optimizer(model: nn.Module, config: TrialConfig) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov & Hutter 2019) over the parameters that are trained.

    Biases and normalization weights, which are vectors, are not decayed, as is usual for BERT. LoRA's matrices B get
    `adapter.learning_rate_ratio` times the rate (LoRA+, Hayou et al. 2024).
    """
    rate, ratio = config.scaled_learning_rate, config.adapter.learning_rate_ratio
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = config.weight_decay if parameter.ndim >= 2 else 0.0
            groups.setdefault((rate * ratio if LORA_PLUS_MARK in name else rate, decay), []).append(parameter)
    # The fused kernel makes one pass over each parameter and its moments, where the default makes several.
    return torch.optim.AdamW(
        [{"params": parameters, "lr": lr, "weight_decay": decay} for (lr, decay), parameters in groups.items()],
        lr=rate,
        fused=True,
    )


def make_schedule(optimizer: torch.optim.Optimizer, config: TrialConfig, *, total_steps: int) -> LambdaLR:
    """Return the learning rate's schedule: linear warm-up, then linear decay to zero or constant."""
    return LambdaLR(optimizer, lambda step: learning_rate_factor(step, config, total_steps=total_steps))


def learning_rate_factor(step: int, config: TrialConfig, *, total_steps: int) -> float:
    """Return the share of the highest learning rate that holds at a step.

    `step` counts the optimizer steps already taken, from 0; `total_steps` those of the whole run.
    """
    warmup_steps = int(config.warmup_fraction * total_steps)
    if step < warmup_steps:
        # The first step has a rate above zero, else it would be wasted.
        return (step + 1) / (warmup_steps + 1)
    if config.schedule == "constant":
        return 1.0
    return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))
