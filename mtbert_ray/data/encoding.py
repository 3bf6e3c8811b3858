"""Turns a tokenised split into model inputs: special tokens, truncation, padding, for any choice of rows.

The result equals what the Hugging Face tokenizer returns for the same texts; see `EncodedSplit`.
"""

# B rows of a batch, L tokens of the longest of them, N rows of the split.

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, final

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from mtbert_ray.data.tokenise import TokenisedSplit
from mtbert_ray.errors import EncoderError

TokenBatch = dict[str, torch.Tensor]
"""`input_ids`, `attention_mask` and `token_type_ids`, each (B, L) int64, padded on the right to the longest row."""


@dataclass(frozen=True, kw_only=True)
class SpecialIds:
    """Ids of the tokens that frame a sequence."""

    cls: int
    sep: int
    pad: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> Self:
        """Return the tokenizer's ids of [CLS], [SEP] and [PAD].

        Raises:
            EncoderError: it has not all three, so its encoder is not BERT-like.
        """
        ids = {"[CLS]": tokenizer.cls_token_id, "[SEP]": tokenizer.sep_token_id, "[PAD]": tokenizer.pad_token_id}
        missing = [token for token, token_id in ids.items() if token_id is None]
        if missing:
            raise EncoderError(
                f"the tokenizer of {tokenizer.name_or_path or 'this encoder'} has no {', '.join(missing)}; "
                "a BERT-like encoder frames sentences with [CLS] and [SEP]: choose another encoder"
            )
        return cls(cls=ids["[CLS]"], sep=ids["[SEP]"], pad=ids["[PAD]"])


@dataclass(frozen=True, eq=False)
class _Segment:
    """One sentence of every row: where its tokens are, and how many of them are kept."""

    tokens: np.ndarray
    """(T,) ids of all sentences one after another."""
    starts: np.ndarray
    """(N,) int64."""
    kept: np.ndarray
    """(N,) int64."""


@final
class EncodedSplit:
    """A split ready to be cut into batches.

    A single sentence becomes `[CLS] a [SEP]`; a joint pair `[CLS] a [SEP] b [SEP]`, with token type 1 from b on; a
    separate pair two single sequences. What is longer than `max_length` tokens, special ones included, is cut on the
    right; of a joint pair the longer sentence first, as the tokenizer's `truncation="longest_first"` does.

    Args:
        split: the tokens; not copied.
        special: the tokenizer's framing ids.
        pair_encoding: how a pair is encoded; has no effect on single sentences.
        max_length: longest sequence in tokens; each sequence of a separate pair may be as long.
    """

    def __init__(
        self,
        split: TokenisedSplit,
        special: SpecialIds,
        *,
        pair_encoding: Literal["separate", "joint"],
        max_length: int,
    ) -> None:
        self.ids = split.ids
        self.rows_read = split.rows_read
        self._special = special
        self._labels = None if split.labels is None else torch.from_numpy(split.labels.astype(np.float32))
        self._sequences = _sequences(split, joint=pair_encoding == "joint", max_length=max_length)
        self.widths = [1 + np.sum([segment.kept + 1 for segment in sequence], axis=0) for sequence in self._sequences]
        """For each sequence of a row, (N,) int64: its tokens, special ones included."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labels(self) -> torch.Tensor | None:
        """(N,) float32, or None for a test split."""
        return self._labels

    @property
    def lengths(self) -> np.ndarray:
        """(N,) int64: tokens of a row, special ones included, both sequences of a separate pair together."""
        lengths: np.ndarray = np.sum(self.widths, axis=0)
        return lengths

    def sentences(self, rows: np.ndarray) -> tuple[TokenBatch, ...]:
        """Return the model inputs of the rows (B,): one batch of tokens, or two for a separate pair."""
        return tuple(
            _assembled(sequence, width[rows], rows, self._special)
            for sequence, width in zip(self._sequences, self.widths, strict=True)
        )


def _sequences(split: TokenisedSplit, *, joint: bool, max_length: int) -> list[list[_Segment]]:
    """Return the sequences of a row, each with its segments, cut to `max_length`."""
    columns = [(split.tokens1, split.offsets1)]
    if split.tokens2 is not None and split.offsets2 is not None:
        columns.append((split.tokens2, split.offsets2))
    lengths = [np.diff(offsets) for _, offsets in columns]
    if joint and len(columns) == 2:
        kept = _longest_first(lengths[0], lengths[1], room=max_length - 3)
    else:
        kept = [np.minimum(length, max_length - 2) for length in lengths]
    # np.asarray drops np.memmap, whose indexing is slow; the pages stay shared.
    segments = [
        _Segment(np.asarray(tokens), np.asarray(offsets[:-1]), keep)
        for (tokens, offsets), keep in zip(columns, kept, strict=True)
    ]
    return [segments] if joint else [[segment] for segment in segments]


def _longest_first(first: np.ndarray, second: np.ndarray, *, room: int) -> list[np.ndarray]:
    """Share `room` tokens between two sentences: the longer one is cut down to the other, then both alike.

    When both are cut and `room` is odd, the longer one keeps the odd token, the second one of two that are equal.
    """
    shorter_kept = np.minimum(np.minimum(first, second), room // 2)
    longer_kept = np.minimum(np.maximum(first, second), room - shorter_kept)
    first_is_longer = first > second
    return [
        np.where(first_is_longer, longer_kept, shorter_kept),
        np.where(first_is_longer, shorter_kept, longer_kept),
    ]


def _assembled(
    sequence: Sequence[_Segment], widths_B: np.ndarray, rows_B: np.ndarray, special: SpecialIds
) -> TokenBatch:
    """Lay out [CLS], then each segment and its [SEP], and padding up to the widest row."""
    row_of_B1 = np.arange(len(rows_B))[:, None]
    place_L = np.arange(widths_B.max())
    ids_BL = np.full((len(rows_B), len(place_L)), special.pad, dtype=np.int64)
    types_BL = np.zeros_like(ids_BL)
    ids_BL[:, 0] = special.cls
    begin_B1 = np.ones_like(row_of_B1)
    for token_type, segment in enumerate(sequence):
        end_B1 = begin_B1 + segment.kept[rows_B][:, None]
        inside_BL = (place_L >= begin_B1) & (place_L < end_B1)
        source_BL = segment.starts[rows_B][:, None] - begin_B1 + place_L
        ids_BL[inside_BL] = segment.tokens[source_BL[inside_BL]]
        ids_BL[row_of_B1, end_B1] = special.sep
        types_BL[inside_BL] = token_type
        types_BL[row_of_B1, end_B1] = token_type
        begin_B1 = end_B1 + 1
    return {
        "input_ids": torch.from_numpy(ids_BL),
        "attention_mask": torch.from_numpy((place_L < widths_B[:, None]).astype(np.int64)),
        "token_type_ids": torch.from_numpy(types_BL),
    }
