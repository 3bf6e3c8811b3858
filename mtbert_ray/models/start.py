"""Starts a model from the weights of an earlier run. Knows no files: who reads them makes the Start."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mtbert_ray.errors import ConfigError
from mtbert_ray.models.encoder import Encoder
from mtbert_ray.models.heads import Head
from mtbert_ray.models.pretrained import Pooling
from mtbert_ray.models.state import copy_into, misfits


@dataclass(frozen=True, kw_only=True)
class Start:
    """The model of an earlier run."""

    folder: str
    """Of its checkpoint, for messages."""
    encoder: str
    """The encoder of its configuration, for messages."""
    pooling: Pooling
    tasks: tuple[str, ...]
    """Those it has a head for; a head may have no tensors."""
    tensors: Mapping[str, Tensor]
    """Its MultitaskModel's state_dict, the adapter merged."""


def load_start(encoder: Encoder, heads: Mapping[str, Head], start: Start) -> None:
    """Copy the earlier run's encoder, and the heads of the tasks that both have, into plain ones, in place.

    Raises:
        ConfigError: the encoder is of another make, or shared heads are, then all of them at once. Nothing is copied.
    """
    in_encoder = _below("encoder.", start.tensors)
    in_heads = {name: _below(f"heads.{name}.", start.tensors) for name in heads if name in start.tasks}
    if text := misfits(_without_pooler(encoder.state_dict()), _without_pooler(in_encoder)):
        # Heads of another width follow from it, and mending them would not help.
        raise ConfigError(
            [
                f"init_from {start.folder}: its encoder does not fit; {text}. "
                f"It was trained with encoder '{start.encoder}': set encoder to that"
            ]
        )
    problems = []
    if encoder.pooling != start.pooling:
        problems.append(
            f"init_from {start.folder}: was trained with pooling {start.pooling}, this run has {encoder.pooling}; "
            f"set pooling to {start.pooling}"
        )
    for name, tensors in in_heads.items():
        if text := misfits(heads[name].state_dict(), tensors):
            problems.append(
                f"init_from {start.folder}: its head for task '{name}' does not fit; {text}. Set hidden_layers, "
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
