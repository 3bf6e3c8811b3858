"""Model inputs of any rows of a split: special tokens, truncation and padding, or cached embeddings in their place.

The tokens equal what the Hugging Face tokenizer returns for the same texts; see `EncodedSplit`.
"""

# B rows of a batch, L tokens of the longest of them, N rows of the split, D width

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, final

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer
from transformers import PreTrainedTokenizerFast

from mtbert_ray.data.tokenize import TokenizedSplit
from mtbert_ray.errors import EncoderError

TokenBatch = dict[str, torch.Tensor]
"""`input_ids`, `attention_mask` and `token_type_ids`, each (B, L) int64, padded on the right to the longest row."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The special tokens around and between the sentences of a sequence."""

    pieces: tuple[tuple[int, ...], ...]
    """Ids before the first sentence, between two, and behind the last: one piece more than there are sentences."""
    piece_types: tuple[tuple[int, ...], ...]
    """Token types of these."""
    sentence_types: tuple[int, ...]
    """Token type of each sentence."""

    @property
    def num_special(self) -> int:
        """How many special tokens a sequence has."""
        return sum(map(len, self.pieces))


@dataclass(frozen=True, kw_only=True)
class SpecialIds:
    """What a tokenizer puts around one sentence and around a pair, and what it pads with."""

    single: Frame
    pair: Frame
    pad: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> Self:
        """Derive the frames from the tokenizer's own output.

        Families differ: `[CLS] a [SEP] b [SEP]` with types 0 and 1 for BERT, `<s> a </s> </s> b </s>` without for
        RoBERTa, others by other tokens.

        Raises:
            EncoderError: it puts no token in front of a sentence, or has none for padding.
        """
        if tokenizer.pad_token_id is None:
            raise _unframed(tokenizer, "has no padding token")
        one, two = _frame_of(tokenizer, "a"), _frame_of(tokenizer, "a", "b")
        if not one.pieces[0] or not two.pieces[0]:
            raise _unframed(tokenizer, "puts no special token as [CLS] or <s> in front of a sentence")
        return cls(single=one, pair=two, pad=tokenizer.pad_token_id)


def _frame_of(tokenizer: PreTrainedTokenizerFast, *texts: str) -> Frame:
    """Return the special tokens around these texts, each of which gives at least one token."""
    made = _uncut(tokenizer.backend_tokenizer, *texts)
    pieces: list[list[tuple[int, int]]] = [[]]
    sentence_types: list[int] = []
    last: int | None = None
    for token, token_type, sentence, real in zip(
        made.ids, made.type_ids, made.sequence_ids, made.attention_mask, strict=True
    ):
        if not real:
            continue
        if sentence is None:
            pieces[-1].append((token, token_type))
        elif sentence != last:
            if sentence != len(sentence_types):
                raise _unframed(tokenizer, "does not keep the order of the sentences of a pair")
            sentence_types.append(token_type)
            pieces.append([])
        last = sentence if sentence is not None else last
    if len(sentence_types) != len(texts):
        raise _unframed(tokenizer, "makes no token of a letter")
    return Frame(
        pieces=tuple(tuple(token for token, _ in piece) for piece in pieces),
        piece_types=tuple(tuple(token_type for _, token_type in piece) for piece in pieces),
        sentence_types=tuple(sentence_types),
    )


def _uncut(backend: Tokenizer, text: str, second: str | None = None) -> Encoding:
    """Encode without the tokenizer's truncation, which an earlier call may have set; keep it set."""
    truncation = backend.truncation
    backend.no_truncation()
    try:
        return backend.encode(text, second)
    finally:
        if truncation is not None:
            backend.enable_truncation(**truncation)


def _unframed(tokenizer: PreTrainedTokenizerFast, what: str) -> EncoderError:
    return EncoderError(
        f"the tokenizer of {tokenizer.name_or_path or 'this encoder'} {what}, as a BERT-like encoder's does; "
        "choose another encoder"
    )


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

    A single sentence becomes `[CLS] a [SEP]`; a joint pair `[CLS] a [SEP] b [SEP]`, with token type 1 from b on (or the
    tokenizer's own special tokens); a separate pair two single sequences. What is longer than `max_length` tokens,
    special ones included, is cut on the right; of a joint pair the longer sentence first, as the tokenizer's
    `truncation="longest_first"` does. Each sequence of a separate pair may be `max_length` long.
    """

    def __init__(
        self,
        split: TokenizedSplit,
        special: SpecialIds,
        *,
        pair_encoding: Literal["separate", "joint"],
        max_length: int,
    ) -> None:
        self.ids = split.ids
        self.rows_read = split.rows_read
        self.exact_labels: np.ndarray | None = split.labels
        """(N,) float64, which scores are computed with, or None for a test split."""
        self.labels: torch.Tensor | None = (
            None if split.labels is None else torch.from_numpy(split.labels.astype(np.float32))
        )
        """(N,) float32, which models are trained with, or None for a test split."""
        joint = pair_encoding == "joint" and split.tokens2 is not None
        self._frame = special.pair if joint else special.single
        self._pad = special.pad
        self._sequences = _sequences(split, joint=joint, room=max_length - self._frame.num_special)
        self.widths = [
            self._frame.num_special + np.sum([segment.kept for segment in sequence], axis=0)
            for sequence in self._sequences
        ]
        """For each sequence of a row, (N,) int64: its tokens, special ones included."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """(N,) int64: tokens of a row, special ones included, both sequences of a separate pair together."""
        lengths: np.ndarray = np.sum(self.widths, axis=0)
        return lengths

    def sentences(self, rows: np.ndarray) -> tuple[TokenBatch, ...]:
        """Return the model inputs of the rows (B,): one batch of tokens, or two for a separate pair."""
        return tuple(
            _assembled(sequence, width[rows], rows, self._frame, self._pad)
            for sequence, width in zip(self._sequences, self.widths, strict=True)
        )


def _sequences(split: TokenizedSplit, *, joint: bool, room: int) -> list[list[_Segment]]:
    """Return the sequences of a row, each with its segments, cut to `room` tokens plus the special ones."""
    columns = [(split.tokens1, split.offsets1)]
    if split.tokens2 is not None and split.offsets2 is not None:
        columns.append((split.tokens2, split.offsets2))
    lengths = [np.diff(offsets) for _, offsets in columns]
    kept = _longest_first(*lengths, room=room) if joint else [np.minimum(length, room) for length in lengths]
    # np.asarray drops np.memmap, whose indexing is slow; the pages stay shared.
    segments = [
        _Segment(np.asarray(tokens), np.asarray(offsets[:-1]), keep)
        for (tokens, offsets), keep in zip(columns, kept, strict=True)
    ]
    return [segments] if joint else [[segment] for segment in segments]


def _longest_first(first: np.ndarray, second: np.ndarray, *, room: int) -> list[np.ndarray]:
    """Share `room` tokens between two sentences: the longer one is cut down to the other, then both in turn.

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
    sequence: Sequence[_Segment], widths_B: np.ndarray, rows_B: np.ndarray, frame: Frame, pad: int
) -> TokenBatch:
    """Lay out each segment between the special tokens of the frame, and padding up to the widest row."""
    row_of_B1 = np.arange(len(rows_B))[:, None]
    place_L = np.arange(widths_B.max())
    ids_BL = np.full((len(rows_B), len(place_L)), pad, dtype=np.int64)
    types_BL = np.zeros_like(ids_BL)
    first, *others = zip(frame.pieces, frame.piece_types, strict=True)
    begin_B1 = _put(first, ids_BL, types_BL, np.zeros_like(row_of_B1))
    for segment, token_type, piece in zip(sequence, frame.sentence_types, others, strict=True):
        end_B1 = begin_B1 + segment.kept[rows_B][:, None]
        inside_BL = (place_L >= begin_B1) & (place_L < end_B1)
        source_BL = segment.starts[rows_B][:, None] - begin_B1 + place_L
        ids_BL[inside_BL] = segment.tokens[source_BL[inside_BL]]
        types_BL[inside_BL] = token_type
        begin_B1 = _put(piece, ids_BL, types_BL, end_B1)
    return {
        "input_ids": torch.from_numpy(ids_BL),
        "attention_mask": torch.from_numpy((place_L < widths_B[:, None]).astype(np.int64)),
        "token_type_ids": torch.from_numpy(types_BL),
    }


def _put(
    piece: tuple[tuple[int, ...], tuple[int, ...]], ids_BL: np.ndarray, types_BL: np.ndarray, at_B1: np.ndarray
) -> np.ndarray:
    """Write special tokens and their types from a place of each row on; return the places behind them."""
    row_of_B1 = np.arange(len(at_B1))[:, None]
    for offset, (token, token_type) in enumerate(zip(*piece, strict=True)):
        ids_BL[row_of_B1, at_B1 + offset] = token
        types_BL[row_of_B1, at_B1 + offset] = token_type
    return at_B1 + len(piece[0])


EMBEDDING = "embedding"
"""The one key of such a batch of tokens: (B, D), one embedding a sequence."""


@final
class EmbeddedSplit:
    """A split whose rows are cached encoder outputs: as `EncodedSplit`, so the same batches in the same order.

    The `embeddings` are (N, D) for each sequence of a row: one, or two for a separate pair.
    """

    def __init__(self, split: "EncodedSplit | EmbeddedSplit", embeddings: tuple[torch.Tensor, ...]) -> None:
        assert all(len(embedding_ND) == len(split) for embedding_ND in embeddings)
        self.ids: list[str] = split.ids
        self.labels: torch.Tensor | None = split.labels
        self.exact_labels: np.ndarray | None = split.exact_labels
        self.lengths: np.ndarray = split.lengths
        self.widths: list[np.ndarray] = split.widths
        self._embeddings = embeddings

    def __len__(self) -> int:
        return len(self.ids)

    def sentences(self, rows: np.ndarray) -> tuple[TokenBatch, ...]:
        """Return the model inputs of the rows (B,): `EMBEDDING` alone, once a sequence."""
        positions = torch.from_numpy(np.ascontiguousarray(rows))
        return tuple({EMBEDDING: embedding_ND[positions]} for embedding_ND in self._embeddings)
