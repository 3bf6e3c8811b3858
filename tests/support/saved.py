"""A checkpoint of a model, for tests of what reads one."""

from pathlib import Path

import torch

from mtbert_ray.config import TrialConfig
from mtbert_ray.metrics import Metrics
from mtbert_ray.models.build import build_model
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.checkpoint import kept_weights, write_checkpoint


def save_checkpoint(folder: Path, model: MultitaskModel, config: TrialConfig, metrics: Metrics) -> None:
    """Write a checkpoint of a model as it is now."""
    write_checkpoint(folder, kept_weights(model, config), config, metrics)


def save_shifted_checkpoint(folder: Path, config: TrialConfig, metrics: Metrics) -> Path:
    """Write a checkpoint whose trained weights are far enough from the initial ones that every part of them counts.

    Args:
        folder: is made, and returned.
        config: of the model, which is built here.
        metrics: of the checkpoint.
    """
    model = build_model(config)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    save_checkpoint(folder, model, config, metrics)
    return folder
