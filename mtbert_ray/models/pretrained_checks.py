"""Checks of a pretrained encoder's files, with messages where transformers' own ones are no help."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from mtbert_ray.errors import EncoderError, did_you_mean

_MAX_NAMED = 3
"""Weights that a message names."""
_OF_A_LAYER = re.compile(r"\.(layers?|h|block)\.\d+\.")


def check_holds_keys(name: str, source: str, *file_names: str) -> None:
    """Refuse JSON files of a folder that hold a list or a single value in place of keys and values."""
    for path in (Path(source) / file_name for file_name in file_names):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # transformers has a message for these.
        if not isinstance(content, dict):
            got = "a list" if isinstance(content, list) else "a single value"
            raise EncoderError(
                f"encoder '{name}': {path} holds {got}; it must hold keys and values, as save_pretrained writes it"
            )


def check_shapes(name: str, mismatched: Iterable[tuple[str, Any, Any]]) -> None:
    """Refuse weights of other shapes than the model's, each given as (name, shape in the file, shape in the model)."""
    found = [
        f"{weight} has the shape {tuple(got)}, expected {tuple(wanted)}" for weight, got, wanted in sorted(mismatched)
    ]
    if found:
        raise EncoderError(
            f"encoder '{name}': its weights do not fit its config.json ({_first_of(found, '; ')}); take both from one "
            "model"
        )


def check_layers(name: str, unexpected: Iterable[str]) -> None:
    """Refuse files with weights of layers that the configuration leaves out: the encoder would be another one.

    Unexpected weights of heads and poolings are fine.
    """
    layers = sorted(weight for weight in unexpected if _OF_A_LAYER.search(f".{weight}"))
    if layers:
        raise EncoderError(
            f"encoder '{name}': its files hold {len(layers)} weights of layers that its config.json does not have "
            f"({_first_of(layers)}); take both from one model"
        )


def check_finite(name: str, model: PreTrainedModel) -> None:
    """Refuse infinite weights and NaN, with which training would diverge at its first step."""
    bad = [weight for weight, values in model.state_dict().items() if not torch.isfinite(values).all()]
    if bad:
        raise EncoderError(
            f"encoder '{name}': its weights are not finite: {_first_of(bad)} hold infinite numbers or NaN; take "
            "another copy"
        )


def check_known_word(name: str, config: PretrainedConfig, error: Exception, known: Iterable[str]) -> None:
    """Explain a KeyError of a word in the configuration that transformers does not know, as an activation."""
    word = error.args[0] if isinstance(error, KeyError) and error.args else None
    keys = [key for key, value in config.to_dict().items() if isinstance(value, str) and value == word]
    if keys:
        raise EncoderError(
            f"encoder '{name}': its config.json has {keys[0]} '{word}', which transformers does not know"
            f"{did_you_mean(word, known)}"
        ) from error


def check_vocabulary(name: str, tokenizer: PreTrainedTokenizerFast, num_embeddings: int | None) -> None:
    """Refuse a tokenizer of special tokens alone, which transformers makes up without files, or of another model."""
    if num_embeddings is None:
        return
    num_tokens = len(tokenizer)
    # Tables are often a little longer than the vocabulary; a few added tokens may lie behind them unused.
    too_many = tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=False) > num_embeddings
    if too_many or tokenizer.pad_token_id >= num_embeddings or 2 * num_tokens < num_embeddings:
        raise EncoderError(
            f"encoder '{name}': its tokenizer has {num_tokens} tokens, the model embeds {num_embeddings}: the "
            "tokenizer's files (tokenizer.json) are missing or another model's"
        )


def _first_of(names: Sequence[str], separator: str = ", ") -> str:
    more = len(names) - _MAX_NAMED
    return separator.join(names[:_MAX_NAMED]) + (f"{separator}and {more} more" if more > 0 else "")
