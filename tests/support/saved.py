"""A checkpoint of a model, for tests of what reads one."""

from pathlib import Path

from mtbert_ray.config import TrialConfig
from mtbert_ray.metrics import Metrics
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.checkpoint import kept_weights, write_checkpoint


def save_checkpoint(folder: Path, model: MultitaskModel, config: TrialConfig, metrics: Metrics) -> None:
    """Write a checkpoint of a model as it is now."""
    write_checkpoint(folder, kept_weights(model, config), config, metrics)
