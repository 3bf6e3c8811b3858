"""Small models and batches for what is tested of SMART."""

import torch

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.data.batching import Batch, epoch_batches
from mtbert_ray.models.build import build_model
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.inputs import load_inputs

EVERY_TASK = ("sst", "quora", "sts")


def small_config(**dotted) -> TrialConfig:
    defaults = {
        "encoder": "tiny",
        "pooling": "mean",
        "dropout": 0.0,
        "encoder_dropout": 0.0,
        "data.max_train_rows": 6,
        "data.max_dev_rows": 4,
        "batch_size": 6,
        "smart.tasks": EVERY_TASK,
    }
    return TrialConfig.model_validate(nest({**defaults, **dotted}))


def batch_of(task: str, config: TrialConfig) -> Batch:
    batches = epoch_batches(
        load_inputs(config, "train"), batch_size=config.batch_size, task_order="sequential", seed=0, epoch=1
    )
    return next(batch for batch in batches if batch.task == task)


def model_of(config: TrialConfig) -> MultitaskModel:
    return build_model(config).double().train()


def length_of(noise, norm: str):
    flat_BN = torch.cat([part.flatten(1) for part in noise], dim=1)
    return flat_BN.abs().amax(1) if norm == "inf" else flat_BN.norm(dim=1)
