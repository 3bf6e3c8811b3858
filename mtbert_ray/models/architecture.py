"""What an encoder's architecture has and does: pooling, dropout rates, token types, positions, padding."""

# B batch, L tokens, D width

import inspect
import logging
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MODEL_MAPPING, PretrainedConfig, PreTrainedModel

from mtbert_ray.errors import EncoderError
from mtbert_ray.models.pretrained import Pooling

_log = logging.getLogger(__name__)
_LARGEST_PADDING_ERROR = 1e-3

_DROPOUT_KEYS = (
    "hidden_dropout_prob",  # BERT and its near relatives, nomic_bert, gte
    "attention_probs_dropout_prob",
    "dropout",  # DistilBERT, XLM
    "attention_dropout",  # DistilBERT, ModernBERT, EuroBERT, Funnel
    "embedding_dropout",  # ModernBERT
    "mlp_dropout",
    "hidden_dropout",  # Funnel
    "activation_dropout",
)
"""Rates inside the encoder. Those of transformers' own task heads, as `classifier_dropout`, `pooler_dropout` and
`summary_last_dropout`, are not: heads are ours, with `dropout`."""
_CLASSIFIER_POOLING: dict[str, Pooling] = {"cls": "cls", "bos": "cls", "mean": "mean", "late": "mean"}
"""`classifier_pooling` of ModernBERT and EuroBERT -> ours. EuroBERT's `late` averages its classifier's logits of all
tokens; the average of the tokens comes nearest."""
_USUAL: dict[str, Pooling] = {"nomic_bert": "mean"}
"""The pooling that a family was published with where its files do not name it: nomic-embed averages. Others take the
first token's state, as gte-multilingual-base, ELECTRA and DeBERTa do."""


def has_pooling_layer(config: PretrainedConfig) -> bool:
    """Return whether the architecture can have a pooling layer; the files need not hold its weights."""
    return "add_pooling_layer" in inspect.signature(_model_class(config).__init__).parameters


def usual_pooling(config: PretrainedConfig, *, without_layer: bool = False) -> Pooling:
    """Return the pooling of an encoder without a sentence-transformers file that names it.

    That is its own classifier's; else its pooling layer, unless its files are `without_layer`'s weights; else what the
    family was published with.
    """
    of_classifier = _CLASSIFIER_POOLING.get(str(getattr(config, "classifier_pooling", None)))
    if of_classifier is not None:
        return of_classifier
    if has_pooling_layer(config) and not without_layer:
        return "pooler"
    return _USUAL.get(config.model_type, "cls")


def set_dropout(config: PretrainedConfig, dropout: float) -> bool:
    """Replace every dropout rate inside the encoder; return whether it has any."""
    present = [key for key in _DROPOUT_KEYS if hasattr(config, key)]
    for key in present:
        setattr(config, key, dropout)
    return bool(present)


def pooler_output(model: PreTrainedModel, hidden_BLD: Tensor) -> Tensor:
    """Return what the model's pooling layer makes of token states, (B, D)."""
    pooler: Any = model.pooler
    if isinstance(pooler, nn.Linear):  # ALBERT's, whose activation is a module of its own
        activated: Tensor = model.pooler_activation(pooler(hidden_BLD[:, 0]))  # type: ignore[operator]
        return activated
    pooled: Tensor = pooler(hidden_BLD)
    return pooled


def uses_token_types(model: PreTrainedModel) -> bool:
    """Return whether token types make a difference.

    RoBERTa accepts them but has one only; DeBERTa accepts them and has none; DistilBERT and ModernBERT take none.
    """
    accepts = "token_type_ids" in inspect.signature(model.forward).parameters
    return accepts and (getattr(model.config, "type_vocab_size", 0) or 0) > 1


def position_padding(model: PreTrainedModel) -> int | None:
    """Return the padding index from behind which positions are counted, as RoBERTa does; none counts from 0."""
    table = _position_table(model)
    return None if table is None else table.padding_idx


def longest_sequence(model: PreTrainedModel) -> int | None:
    """Return the longest sequence in tokens.

    With a table of positions that is its length. Rotary positions have no end, but the model has seen none beyond its
    configuration's `max_position_embeddings`. None for DeBERTa's relative positions, which grow coarse with distance.
    """
    table = _position_table(model)
    if table is not None:
        return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
    if getattr(model.config, "relative_attention", False):
        return None
    longest: int | None = getattr(model.config, "max_position_embeddings", None)
    return longest


def freeze_fixed_positions(model: PreTrainedModel) -> None:
    """Freeze tables of sines, in place, as RoFormer's: they are computed, and looked up without a gradient.

    As trainable parameters without a gradient they would make DistributedDataParallel wait.
    """
    for module in model.modules():
        if isinstance(module, nn.Embedding) and "Sinusoidal" in type(module).__name__:
            module.requires_grad_(False)


def has_windows(config: PretrainedConfig) -> bool:
    """Return whether some layers attend to near tokens only."""
    return "sliding_attention" in (getattr(config, "layer_types", None) or ())


def check_padding(name: str, model: PreTrainedModel) -> None:
    """Warn where padding changes the states of real tokens, so that a row's score depends on its batch.

    The model, in eval mode, may draw from the global generator.

    Raises:
        EncoderError: it does not run on token ids and a mask.
    """
    try:
        error = padding_error(model)
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, AssertionError) as problem:
        first_line = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        raise EncoderError(
            f"encoder '{name}': a model of type '{model.config.model_type}' does not run on token ids and a mask alone "
            f"({first_line}); take another encoder"
        ) from problem
    if not error <= _LARGEST_PADDING_ERROR:
        _log.warning(
            "encoder '%s': a model of type '%s' mixes padding into what it computes for the tokens (states changed by "
            "up to %.2g of the largest), so a row's outputs depend a little on the rows that share its batch",
            name,
            model.config.model_type,
            error,
        )


@torch.no_grad()
def padding_error(model: PreTrainedModel) -> float:
    """Return how far padding changes the states of real tokens: the largest difference over the largest state.

    Rounding gives some 1e-6. FNet mixes all tokens; ConvBERT's convolution reaches beyond a sentence's end.
    """
    length, padded = 6, 11
    ids_1L = torch.arange(padded)[None, :] * 7 % min(model.config.vocab_size, 1000)
    mask_1L = (torch.arange(padded)[None, :] < length).long()
    ids_1L[:, length:] = model.config.pad_token_id or 0
    alone = model(input_ids=ids_1L[:, :length], attention_mask=mask_1L[:, :length]).last_hidden_state
    masked = model(input_ids=ids_1L, attention_mask=mask_1L).last_hidden_state[:, :length]
    return float((alone - masked).abs().max() / alone.abs().max())


def _model_class(config: PretrainedConfig) -> type[PreTrainedModel]:
    mapped: Any = MODEL_MAPPING[type(config)]
    # A few architectures map to several classes, the full one first.
    model_class: type[PreTrainedModel] = mapped[0] if isinstance(mapped, tuple | list) else mapped
    return model_class


def _position_table(model: PreTrainedModel) -> nn.Embedding | None:
    for module_name, module in model.named_modules():
        if module_name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module
    return None
