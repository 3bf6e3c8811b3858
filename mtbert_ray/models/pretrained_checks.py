"""Says what is wrong with the files of a pretrained encoder where transformers' own words say little."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from mtbert_ray.errors import EncoderError, did_you_mean

_MAX_NAMED = 3
"""Weights that a message names."""
_OF_A_LAYER = re.compile(r"\.(layers?|h|block)\.\d+\.")


def check_holds_keys(name: str, source: str, *file_names: str) -> None:
    """Check that JSON files of a folder, those that are there and are JSON, hold keys and values.

    Args:
        name: of the encoder.
        source: its folder; of any other nothing is checked.
        file_names: within it.

    Raises:
        EncoderError: one holds a list or a single value.
    """
    for path in (Path(source) / file_name for file_name in file_names):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # transformers says so itself.
        if not isinstance(content, dict):
            got = "a list" if isinstance(content, list) else "a single value"
            raise EncoderError(
                f"encoder '{name}': {path} holds {got}; it must hold keys and values, as save_pretrained writes it"
            )


def check_shapes(name: str, mismatched: Iterable[tuple[str, Any, Any]]) -> None:
    """Check that the weights of the files have the shapes that the configuration asks for.

    Args:
        name: of the encoder.
        mismatched: name, shape in the file and shape in the model of each weight that differs.

    Raises:
        EncoderError: there is one.
    """
    found = sorted((weight, tuple(got), tuple(wanted)) for weight, got, wanted in mismatched)
    if found:
        named = "; ".join(
            f"{weight} has the shape {got}, expected {wanted}" for weight, got, wanted in found[:_MAX_NAMED]
        )
        more = f"; and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
        raise EncoderError(
            f"encoder '{name}': its weights do not fit its config.json ({named}{more}); take both from one model"
        )


def check_layers(name: str, unexpected: Iterable[str]) -> None:
    """Check that the files hold no layers that the configuration leaves out.

    Weights of heads and poolings may be left over, but not of layers: the encoder would be another one.

    Args:
        name: of the encoder.
        unexpected: names of the weights in the files that the model has no place for.

    Raises:
        EncoderError: there are such layers.
    """
    layers = sorted(weight for weight in unexpected if _OF_A_LAYER.search(f".{weight}"))
    if layers:
        named = f"{', '.join(layers[:_MAX_NAMED])}{'' if len(layers) <= _MAX_NAMED else ', ...'}"
        raise EncoderError(
            f"encoder '{name}': its files hold {len(layers)} weights of layers that its config.json does not have "
            f"({named}); take both from one model"
        )


def check_finite(name: str, model: PreTrainedModel) -> None:
    """Check that no weight is infinite or NaN.

    Raises:
        EncoderError: one is; training would diverge at its first step.
    """
    bad = [weight for weight, values in model.state_dict().items() if not torch.isfinite(values).all()]
    if bad:
        named = f"{', '.join(bad[:_MAX_NAMED])}{'' if len(bad) <= _MAX_NAMED else f' and {len(bad) - _MAX_NAMED} more'}"
        raise EncoderError(
            f"encoder '{name}': its weights are not finite: {named} hold infinite numbers or NaN; take another copy"
        )


def check_known_word(name: str, config: PretrainedConfig, error: Exception, known: Iterable[str]) -> None:
    """Say which setting holds the word that transformers looked up in vain, as an activation it does not have.

    Args:
        name: of the encoder.
        config: its configuration.
        error: of loading the model.
        known: the activations that there are.

    Raises:
        EncoderError: the error is a KeyError of a word that the configuration holds.
    """
    word = error.args[0] if isinstance(error, KeyError) and error.args else None
    keys = [key for key, value in config.to_dict().items() if isinstance(value, str) and value == word]
    if keys:
        raise EncoderError(
            f"encoder '{name}': its config.json has {keys[0]} '{word}', which transformers does not know"
            f"{did_you_mean(word, known)}"
        ) from error
