"""A checkpoint is a folder: what training changed (safetensors), the configuration, and the scores it had.

With a frozen encoder it holds the heads and adapters only, and the fingerprint of the encoder they belong to; where the
frozen weights are not the encoder's own, as after `init_from`, it holds these as well.
"""

import json
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.checkpoint import CHECKPOINT_CONFIG_NAME, read_checkpoint_config
from mtbert_ray.errors import CheckpointError
from mtbert_ray.files import put_file
from mtbert_ray.metrics import Metrics, MetricValue
from mtbert_ray.models.build import build_model, changed_parameters
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.models.state import base_fingerprint, load_trainable_state, trainable_state

WEIGHTS_NAME = "model.safetensors"
METRICS_NAME = "metrics.json"


class KeptWeights(NamedTuple):
    """What a checkpoint holds of a model."""

    tensors: dict[str, Tensor]
    """On the CPU, by name."""
    base_fingerprint: str
    """Of the weights that are left to the encoder's own files."""


def kept_weights(
    model: MultitaskModel, config: TrialConfig, *, copy: bool = False, fingerprint: str | None = None
) -> KeptWeights:
    """Return what a checkpoint holds of a model as it is now.

    Args:
        model: the bare model, not its DDP wrapper.
        config: what it was built from.
        copy: whether the tensors stay as they are while training goes on.
        fingerprint: of an earlier call for the same model. It takes a pass over all frozen weights, which stay.
    """
    changed = changed_parameters(model, config)
    state = trainable_state(model, changed=changed)
    return KeptWeights(
        {name: tensor.to("cpu", copy=copy).contiguous() for name, tensor in state.items()},
        base_fingerprint(model, changed=changed) if fingerprint is None else fingerprint,
    )


def write_checkpoint(folder: Path, weights: KeptWeights, config: TrialConfig, metrics: Metrics) -> None:
    """Write a checkpoint in place of an older one of the same run.

    The weights are one file, put in place in one step after they are on disk: a process that is killed at any moment
    leaves the old checkpoint or the new one. The scores are told twice: beside the weights, where they cannot differ
    from them, and as JSON for people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    as_json = config.model_dump_json(indent=2) + "\n"
    put_file(folder / CHECKPOINT_CONFIG_NAME, lambda new: new.write_text(as_json, encoding="utf-8"))
    about = {"base_fingerprint": weights.base_fingerprint, "metrics": _as_json(metrics)}
    put_file(folder / WEIGHTS_NAME, lambda new: save_file(weights.tensors, new, metadata=about))
    put_file(folder / METRICS_NAME, lambda new: new.write_text(_as_json(metrics), encoding="utf-8"))


def write_metrics(folder: Path, metrics: Metrics) -> None:
    """Write all that is known of the epoch that a checkpoint holds, its costs included, in place of its metrics.json.

    Raises:
        CheckpointError: there is no checkpoint.
    """
    if not (folder / WEIGHTS_NAME).is_file():
        raise CheckpointError(f"{folder}: holds no checkpoint that metrics could belong to (no {WEIGHTS_NAME})")
    put_file(folder / METRICS_NAME, lambda new: new.write_text(_as_json(metrics), encoding="utf-8"))


def read_metrics(folder: Path) -> dict[str, MetricValue]:
    """Return the metrics of a checkpoint: metrics.json, or only the scores where that tells of another epoch.

    A process that was killed between the two leaves the weights of one epoch beside the metrics of an earlier one.

    Raises:
        CheckpointError: the weights are missing or damaged.
    """
    with_weights: dict[str, MetricValue] = json.loads(_about(folder / WEIGHTS_NAME).get("metrics", "{}"))
    try:
        beside: dict[str, MetricValue] = json.loads((folder / METRICS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return with_weights
    return beside if not with_weights or beside.get("epoch") == with_weights.get("epoch") else with_weights


def _as_json(metrics: Metrics) -> str:
    return json.dumps(dict(metrics), indent=2) + "\n"


def load_checkpoint(folder: Path) -> tuple[MultitaskModel, TrialConfig]:
    """Return the model of a checkpoint, on the CPU, and its configuration.

    Raises:
        CheckpointError: something is missing, damaged, or belongs to another encoder.
        EncoderError: the encoder that it was made from cannot be found.
    """
    config = read_checkpoint_config(folder)
    weights = folder / WEIGHTS_NAME
    model = build_model(config)
    changed = changed_parameters(model, config)
    fingerprint = _about(weights).get("base_fingerprint", "")
    try:
        state = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise _unreadable(weights, error) from error
    if fingerprint != base_fingerprint(model, changed=changed):
        raise CheckpointError(
            f"{folder}: its heads and adapters belong to another version of the encoder '{config.encoder}' than the "
            "one found now; give the encoder it was trained with"
        )
    load_trainable_state(model, state, changed=changed)
    return model, config


def _about(weights: Path) -> dict[str, str]:
    """Return what is written beside the tensors of a file."""
    try:
        with safe_open(weights, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise _unreadable(weights, error) from error


def _unreadable(weights: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{weights}: cannot be read: {error}")
