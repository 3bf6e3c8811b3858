"""The same training rows for the trainers besides ours: as texts, as tokens, or tokenized as they are asked for."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.sources import load_examples
from mtbert_ray.models.encoder import load_tokenizer

Tokens = dict[str, Tensor]
Row = dict[str, Any]


def text_rows(config: TrialConfig) -> list[Row]:
    """Return the training rows as texts: `texts`, one or two, and `labels`."""
    examples = load_examples(config.tasks[0], config.data, "train", seed=config.seed)
    assert examples is not None and examples.labels is not None, "training rows have labels"
    columns = [examples.sentence1] if examples.sentence2 is None else [examples.sentence1, examples.sentence2]
    return [
        {"texts": texts, "labels": float(label)}
        for texts, label in zip(zip(*columns, strict=True), examples.labels, strict=True)
    ]


def tokenized_rows(config: TrialConfig) -> list[Row]:
    """Return the training rows as tokens; `input_ids` stands for a row's length, which the Trainer groups by."""
    tokenizer = load_tokenizer(config.encoder)
    rows = []
    for row in text_rows(config):
        sentences = [_tokens(tokenizer(*texts, **_cut(config))) for texts in _sequences(row["texts"], config)]
        ids = [token for sentence in sentences for token in sentence["input_ids"]]
        rows.append({"sentences": sentences, "labels": row["labels"], "input_ids": ids})
    return rows


def tokenizing(config: TrialConfig, padding: str) -> Callable[[list[Row]], tuple[list[Tokens], Tensor]]:
    """Return what makes a batch, its sentences and labels, of some rows of texts.

    Args:
        config: how they are encoded.
        padding: the tokenizer's: `longest` of the batch, or `max_length`.
    """
    tokenizer = load_tokenizer(config.encoder)

    def collate(rows: list[Row]) -> tuple[list[Tokens], Tensor]:
        columns = [list(column) for column in zip(*(row["texts"] for row in rows), strict=True)]
        sentences = [
            _tokens(tokenizer(*texts, padding=padding, return_tensors="pt", **_cut(config)))
            for texts in _sequences(columns, config)
        ]
        return sentences, torch.tensor([row["labels"] for row in rows])

    return collate


def _sequences(texts: Any, config: TrialConfig) -> list[list[Any]]:  # noqa: ANN401
    """Return what is tokenized together: all of a row's sentences, or each by itself."""
    return [list(texts)] if config.pair_encoding == "joint" else [[text] for text in texts]


def _cut(config: TrialConfig) -> dict[str, Any]:
    return {"truncation": "longest_first", "max_length": config.data.max_length}


def _tokens(encoded: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a tokenizer's answer with token types, which some leave out."""
    ids = encoded["input_ids"]
    types = torch.zeros_like(ids) if isinstance(ids, Tensor) else [0] * len(ids)
    return {"token_type_ids": types, **encoded}
