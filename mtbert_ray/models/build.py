"""From a TrialConfig to a model: encoder, heads, what is frozen, adapters."""

from collections.abc import Mapping

from torch import nn

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.adapters import add_adapter, frozen_weights_changed
from mtbert_ray.models.encoder import Encoder, load_encoder
from mtbert_ray.models.heads import Head, build_head
from mtbert_ray.models.initialisation import seeded
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.models.start import Start, load_start
from mtbert_ray.models.state import frozen_parameters


def build_model(config: TrialConfig, *, start: Start | None = None) -> MultitaskModel:
    """Build the model of a trial on the CPU, in float32 and eval mode.

    The same configuration and seed give the same weights; the global random state stays as it is. A head's weights
    depend on the seed and on its own task only.

    Args:
        config: the setting. Its `init_from` is not read here: `training.init_from.starting_model` does that.
        start: weights to begin with, before anything is frozen or an adapter is added; none takes the encoder's own
            and fresh heads.

    Raises:
        EncoderError: the encoder cannot be loaded.
        ConfigError: parts that do not fit the encoder, each other or the start; all of them at once.
    """
    encoder = load_encoder(config.encoder, pooling=config.pooling, dropout=config.encoder_dropout, seed=config.seed)
    heads: dict[str, Head] = {}
    for task in config.tasks:
        with seeded(config.seed, f"head/{task.name}"):
            heads[task.name] = build_head(
                task,
                width=encoder.width,
                pair_encoding=config.pair_encoding,
                num_hidden=config.hidden_layers_of(task.name),
                dropout=config.dropout,
            )
    _check_parts(config, encoder, heads)
    if start is not None:
        load_start(encoder, heads, start)
    if config.finetune == "heads_only":
        encoder.requires_grad_(False)
    elif config.adapter.kind != "none":
        add_adapter(encoder, config.adapter, seed=config.seed)
    return MultitaskModel(encoder, heads).eval()


def changed_parameters(model: MultitaskModel, config: TrialConfig) -> frozenset[str]:
    """Return the names of the frozen parameters that are not as the encoder's own files have them.

    After `init_from` these are all, and under PiSSA and OLoRA the weights that the adapter took a part of, which a
    checkpoint holds too: the same decomposition may come out a little different on another machine.
    """
    frozen = frozen_parameters(model)
    if config.init_from is not None:
        return frozenset(frozen)
    return frozenset(name for name in frozen if frozen_weights_changed(config.adapter, name))


def _check_parts(config: TrialConfig, encoder: Encoder, heads: Mapping[str, Head]) -> None:
    problems = []
    if encoder.max_length is not None and config.data.max_length > encoder.max_length:
        problems.append(
            f"data.max_length {config.data.max_length} is longer than the {encoder.max_length} tokens of encoder "
            f"'{config.encoder}'"
        )
    # nn.ModuleDict finds its modules as attributes, so it refuses the names of its own methods.
    reserved = nn.ModuleDict()
    problems += [
        f"tasks: '{name}' cannot name a task, torch.nn.ModuleDict uses it itself; choose another name"
        for name in heads
        if hasattr(reserved, name)
    ]
    if problems:
        raise ConfigError(problems)
