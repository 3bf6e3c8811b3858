"""A checkpoint is a folder: what training changed (safetensors), the configuration, and the scores it had.

With a frozen encoder it holds the heads and adapters only, and the fingerprint of the encoder they belong to.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import CheckpointError
from mtbert_ray.metrics import MetricValue
from mtbert_ray.mistakes import problems_of
from mtbert_ray.models.build import build_model
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.models.state import base_fingerprint, load_trainable_state, trainable_state

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
METRICS_NAME = "metrics.json"


def save_checkpoint(
    folder: Path, model: MultitaskModel, config: TrialConfig, metrics: Mapping[str, MetricValue]
) -> None:
    """Write a checkpoint in place of an older one of the same run.

    The weights are one file, put in place in one step after they are on disk: a process that is killed at any moment
    leaves the old checkpoint or the new one. The scores are told twice: beside the weights, where they cannot differ
    from them, and as JSON for people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metrics_text = json.dumps(dict(metrics), indent=2) + "\n"
    _put(folder / CONFIG_NAME, lambda new: new.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8"))
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in trainable_state(model).items()}
    about = {"base_fingerprint": base_fingerprint(model), "metrics": metrics_text}
    _put(folder / WEIGHTS_NAME, lambda new: save_file(state, new, metadata=about))
    _put(folder / METRICS_NAME, lambda new: new.write_text(metrics_text, encoding="utf-8"))


def _put(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, hand it to the disk, and put it in its place."""
    new = path.with_name(path.name + ".new")
    write(new)
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.replace(path)


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
    except ValidationError as error:
        problems = problems_of(error, str(path), TrialConfig)
        raise CheckpointError("\n".join([f"{path}: not the configuration of a checkpoint:", *problems])) from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: not the configuration of a checkpoint: {error}") from error


def _saved_fingerprint(weights: Path) -> str:
    with safe_open(weights, framework="pt") as file:
        metadata: dict[str, str] = file.metadata() or {}
        return metadata.get("base_fingerprint", "")
