"""A checkpoint is a folder: what training changed (safetensors), the configuration, and the scores it had.

With a frozen encoder it holds the heads and adapters only, and the fingerprint of the encoder they belong to.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import CheckpointError
from mtbert_ray.metrics import MetricValue
from mtbert_ray.models.multitask import MultitaskModel, build_model
from mtbert_ray.models.state import base_fingerprint, load_trainable_state, trainable_state

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
METRICS_NAME = "metrics.json"


def save_checkpoint(
    folder: Path, model: MultitaskModel, config: TrialConfig, metrics: Mapping[str, MetricValue]
) -> None:
    """Write a checkpoint in place of an older one. A reader sees the old one or the new one, never half of one."""
    new = folder.with_name(folder.name + ".new")
    old = folder.with_name(folder.name + ".old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in trainable_state(model).items()}
    save_file(state, new / WEIGHTS_NAME, metadata={"base_fingerprint": base_fingerprint(model)})
    (new / CONFIG_NAME).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (new / METRICS_NAME).write_text(json.dumps(dict(metrics), indent=2) + "\n", encoding="utf-8")
    if folder.exists():
        folder.replace(old)
    new.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path) -> tuple[MultitaskModel, TrialConfig]:
    """Return the model of a checkpoint, on the CPU, and its configuration.

    Raises:
        CheckpointError: something is missing, damaged, or belongs to another encoder.
        EncoderError: the encoder that it was made from cannot be found.
    """
    config = read_checkpoint_config(folder)
    weights = folder / WEIGHTS_NAME
    model = build_model(config)
    try:
        state = load_file(weights)
        fingerprint = _saved_fingerprint(weights)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{weights}: cannot be read: {error}") from error
    if fingerprint != base_fingerprint(model):
        raise CheckpointError(
            f"{folder}: its heads and adapters belong to another version of the encoder '{config.encoder}' than the "
            "one found now; give the encoder it was trained with"
        )
    load_trainable_state(model, state)
    return model, config


def read_checkpoint_config(folder: Path) -> TrialConfig:
    """Return the configuration of a checkpoint.

    Raises:
        CheckpointError: the folder is not a checkpoint.
    """
    path = folder / CONFIG_NAME
    try:
        return TrialConfig.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{folder}: not a checkpoint (no {CONFIG_NAME}); give a folder like reports/NAME/trials/ID/checkpoint"
        ) from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not the configuration of a checkpoint: {error}") from error


def _saved_fingerprint(weights: Path) -> str:
    with safe_open(weights, framework="pt") as file:
        metadata: dict[str, str] = file.metadata() or {}
        return metadata.get("base_fingerprint", "")
