"""The model that a run begins with: fresh, or from the checkpoint that `init_from` names."""

from pathlib import Path

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import CheckpointError, EncoderError
from mtbert_ray.models.adapters import merge_adapter
from mtbert_ray.models.build import InitialWeights, build_model
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.checkpoint import load_checkpoint


def initial_model(config: TrialConfig) -> MultitaskModel:
    """Return the model of a run before its first step, on the CPU, in float32 and eval mode.

    With `init_from` it has the earlier run's encoder, its adapter merged, and its heads for the tasks that both have;
    other tasks get fresh heads. Everything else, as dropout, adapter and what is frozen, is the configuration's.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        EncoderError: the encoder, or the one that the checkpoint was made from, cannot be found.
        ConfigError: the parts do not fit each other or the checkpoint; all of them at once.
    """
    return build_model(config, initial_weights=None if config.init_from is None else _read_start(config.init_from))


def _read_start(folder: str) -> InitialWeights:
    try:
        model, config = load_checkpoint(Path(folder))
    except (CheckpointError, EncoderError) as error:
        raise type(error)(f"init_from: {error}") from error
    merge_adapter(model.encoder)
    return InitialWeights(
        folder=folder,
        encoder=config.encoder,
        pooling=model.encoder.pooling,
        tasks=tuple(model.heads),
        tensors=model.state_dict(),
    )
