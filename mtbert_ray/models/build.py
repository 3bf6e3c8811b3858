"""Builds the model of a trial from its config, with fresh weights or those of an earlier run."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.adapters import add_adapter
from mtbert_ray.models.encoder import Encoder, load_encoder
from mtbert_ray.models.heads import Head, build_head, seeded
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.models.peft_adapters import frozen_weights_changed
from mtbert_ray.models.pretrained import Pooling
from mtbert_ray.models.state import copy_into, frozen_parameters, misfits


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """Those of an earlier run's model."""

    folder: str
    """Of its checkpoint, for messages."""
    encoder: str
    """The encoder of its config, for messages."""
    pooling: Pooling
    tasks: tuple[str, ...]
    """Those it has a head for; a head may have no tensors."""
    tensors: Mapping[str, Tensor]
    """Its MultitaskModel's state_dict, the adapter merged."""


def _load(encoder: Encoder, heads: Mapping[str, Head], initial: InitialWeights) -> None:
    """Copy the encoder, and the heads of the tasks that both runs have, in place; nothing where any does not fit."""
    in_encoder = _below("encoder.", initial.tensors)
    in_heads = {name: _below(f"heads.{name}.", initial.tensors) for name in heads if name in initial.tasks}
    if text := misfits(_without_pooler(encoder.state_dict()), _without_pooler(in_encoder)):
        # Heads of another width follow from it.
        raise ConfigError(
            [
                f"init_from {initial.folder}: its encoder does not fit; {text}. "
                f"It was trained with encoder '{initial.encoder}': set encoder to that"
            ]
        )
    problems = []
    if encoder.pooling != initial.pooling:
        problems.append(
            f"init_from {initial.folder}: was trained with pooling {initial.pooling}, this run has {encoder.pooling}; "
            f"set pooling to {initial.pooling}"
        )
    for name, tensors in in_heads.items():
        if text := misfits(heads[name].state_dict(), tensors):
            problems.append(
                f"init_from {initial.folder}: its head for task '{name}' does not fit; {text}. Set hidden_layers, "
                "pair_encoding and the task's classes as in its config.json, or give the task another name"
            )
    if problems:
        raise ConfigError(problems)
    copy_into(encoder.state_dict(), in_encoder)
    for name, tensors in in_heads.items():
        copy_into(heads[name].state_dict(), tensors)


def _without_pooler(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out the layer that one pooling has and another has not."""
    return {name: tensor for name, tensor in tensors.items() if "pooler." not in name}


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def build_model(config: TrialConfig, *, initial_weights: InitialWeights | None = None) -> MultitaskModel:
    """Build the model of a trial on the CPU, in float32 and eval mode.

    The same config gives the same weights; the global random state stays as it is. A head's weights depend on the seed
    and on its own task only. The config's `init_from` is not read here: `training.checkpoint.initial_model` does that.
    `initial_weights` are copied before anything is frozen or an adapter is added; none takes the encoder's own and
    fresh heads.

    Raises:
        EncoderError: the encoder cannot be loaded.
        ConfigError: parts that do not fit the encoder, each other or the initial weights; all of them at once.
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
    if initial_weights is not None:
        _load(encoder, heads, initial_weights)
    if config.finetune == "heads_only":
        encoder.requires_grad_(False)
    elif config.adapter.kind != "none":
        add_adapter(encoder, config.adapter, seed=config.seed)
    return MultitaskModel(encoder, heads).eval()


def changed_parameters(model: MultitaskModel, config: TrialConfig) -> frozenset[str]:
    """Return the names of the frozen parameters that are not as the encoder's own files have them.

    After `init_from` these are all; under PiSSA and OLoRA the weights that the adapter took a part of, since the same
    decomposition may come out a little different on another machine.
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
