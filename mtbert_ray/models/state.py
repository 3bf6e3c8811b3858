"""What a checkpoint must hold of a model, and what it may leave to the encoder's own files.

Knows tensors and names; files and folders are the caller's.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import torch
from torch import Tensor, nn

from mtbert_ray.errors import CheckpointError

_NUM_NAMED = 3
"""Tensors that an error message names of each kind."""


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that training changes, by name: every parameter that is not frozen, and persistent buffers.

    They share memory with the model: copy them to keep them while training goes on.
    """
    frozen = _frozen_parameters(model)
    return {name: tensor.detach() for name, tensor in model.state_dict().items() if name not in frozen}


def load_trainable_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy the tensors of `trainable_state` into a model built from the same configuration, in place.

    Raises:
        CheckpointError: tensors are missing, are too many, or have another shape. The model is then unchanged.
    """
    expected = trainable_state(model)
    other_shape = [
        f"{name} ({tuple(state[name].shape)}, the model has {tuple(tensor.shape)})"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:_NUM_NAMED])}{', ...' if len(names) > _NUM_NAMED else ''}"
        for what, names in (
            ("missing", _without(expected, state)),
            ("unexpected", _without(state, expected)),
            ("of another shape", other_shape),
        )
        if names
    ]
    if problems:
        raise CheckpointError(
            f"the checkpoint's tensors do not fit the model; {'; '.join(problems)}. "
            "Build the model from the configuration that was saved with it"
        )
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(state[name])


def base_fingerprint(model: nn.Module) -> str:
    """Return a BLAKE2b digest of the frozen parameters (names, types, shapes, values), in hexadecimal.

    Adapters and heads only mean something on the encoder that they were trained on. Empty when nothing is frozen.
    """
    frozen = _frozen_parameters(model)
    if not frozen:
        return ""
    digest = blake2b(digest_size=16)
    for name, parameter in sorted(frozen.items()):
        digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}\n".encode())
        flat = parameter.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _frozen_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if not parameter.requires_grad}


def _without(names: Iterable[str], others: Mapping[str, Tensor]) -> list[str]:
    return sorted(name for name in names if name not in others)
