"""From a TrialConfig to a model: encoder, heads, what is frozen, adapters."""

from collections.abc import Mapping

from torch import nn

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.adapters import add_adapter
from mtbert_ray.models.encoder import Encoder, load_encoder
from mtbert_ray.models.heads import Head, build_head
from mtbert_ray.models.initialisation import seeded
from mtbert_ray.models.multitask import MultitaskModel


def build_model(config: TrialConfig) -> MultitaskModel:
    """Build the model of a trial on the CPU, in float32 and eval mode.

    The same configuration and seed give the same weights; the global random state stays as it is. A head's weights
    depend on the seed and on its own task only.

    Raises:
        EncoderError: the encoder cannot be loaded.
        ConfigError: parts that do not fit the encoder or each other; all of them at once.
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
    if config.finetune == "heads_only":
        encoder.requires_grad_(False)
    elif config.adapter.kind != "none":
        add_adapter(encoder, config.adapter, seed=config.seed)
    return MultitaskModel(encoder, heads).eval()


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
