"""The tensors that a checkpoint must hold of a model, and those that it may leave to the encoder's own files."""

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b

import torch
from torch import Tensor, nn

from mtbert_ray.errors import CheckpointError

_NUM_NAMED = 3
"""Tensors that an error message names of each kind."""


def trainable_state(model: nn.Module, *, changed: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the tensors that the encoder's own files do not hold, by name.

    These are every parameter that is not frozen, persistent buffers, and the frozen parameters named in `changed` (see
    `build.changed_parameters`). A tensor of several names stands under the first. They share memory with the model:
    copy them to keep them while training continues.
    """
    left_out = _left_to_the_files(model, changed)
    state: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name not in left_out and id(tensor) not in seen:
            state[name] = tensor.detach()
        seen.add(id(tensor))
    return state


def load_trainable_state(model: nn.Module, state: Mapping[str, Tensor], *, changed: Collection[str] = ()) -> None:
    """Copy the tensors of `trainable_state` into a model built from the same configuration, in place.

    Raises:
        CheckpointError: tensors are missing, are too many, have another shape or type, or hold numbers that are not
            finite. The model is then unchanged.
    """
    expected = trainable_state(model, changed=changed)
    problems = misfits(expected, state)
    if problems:
        raise CheckpointError(
            f"the checkpoint's tensors do not fit the model; {problems}. "
            "Build the model from the configuration that was saved with it"
        )
    copy_into(expected, state)


def misfits(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Return which tensors do not fit, a few of each kind by name; empty if all fit.

    They are missing, unexpected, of another shape or type, or not finite although the model's own are.
    """
    shared = [(name, state[name], tensor) for name, tensor in expected.items() if name in state]
    other_shape = [(name, tuple(got.shape), tuple(own.shape)) for name, got, own in shared if got.shape != own.shape]
    other_type = [(name, got.dtype, own.dtype) for name, got, own in shared if got.dtype != own.dtype]
    return "; ".join(
        f"{len(names)} {what}: {', '.join(names[:_NUM_NAMED])}{', ...' if len(names) > _NUM_NAMED else ''}"
        for what, names in (
            ("missing", _without(expected, state)),
            ("unexpected", _without(state, expected)),
            ("of another shape", [f"{name} ({got}, the model has {own})" for name, got, own in other_shape]),
            ("of another type", [f"{name} ({got}, the model has {own})" for name, got, own in other_type]),
            ("not finite", [name for name, got, own in shared if not _is_finite(got) and _is_finite(own)]),
        )
        if names
    )


def _is_finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


@torch.no_grad()
def copy_into(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy values by name, in place; names and shapes must fit."""
    for name, tensor in tensors.items():
        tensor.copy_(state[name])


def base_fingerprint(model: nn.Module, *, changed: Collection[str] = ()) -> str:
    """Return the `digest_of` what is left to the encoder's files; empty when nothing is left.

    Adapters and heads only mean something on the encoder that they were trained on.
    """
    left_out = _left_to_the_files(model, changed)
    return digest_of(left_out) if left_out else ""


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Return a BLAKE2b digest of tensors (names, types, shapes, values), in hexadecimal, at about 1 GB/s."""
    digest = blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def frozen_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters without a gradient, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if not parameter.requires_grad}


def _left_to_the_files(model: nn.Module, changed: Collection[str]) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in frozen_parameters(model).items() if name not in changed}


def _without(names: Iterable[str], others: Mapping[str, Tensor]) -> list[str]:
    return sorted(name for name in names if name not in others)
