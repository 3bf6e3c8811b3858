"""Several padded batches of tokens as one sequence without padding, through transformers' attention interface.

The layers of each token never see padding. Only inside the attention the tokens stand in their padded grids again.
"""

# B rows, L tokens of the longest of them, T real tokens of all batches, H heads, E width of a head, D width of all

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import bidirectional_mask_function, create_bidirectional_sliding_window_mask

from mtbert_ray.compat import attention_implementation, set_attention_implementation

PACKABLE = frozenset({
    "bert", "roberta", "xlm-roberta", "camembert", "ernie", "electra", "albert", "distilbert", "modernbert", "eurobert",
    "nomic_bert", "gte", "jina_embeddings_v3",
})  # fmt: skip
"""Architectures whose tokens meet in the attention alone, with positions, absolute or rotary, that can be given."""
_LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")
"""Kinds of rotary positions whose angles depend on the longest sequence of the pass."""

_NAME = "packed"

MaskFunction = Callable[[int, int, Tensor, Tensor], Tensor]
"""Of transformers' masks: row, head, the places of queries and of keys -> True where a query attends to a key."""
_EVERYWHERE: Any = bidirectional_mask_function


class _Grid(NamedTuple):
    """One padded batch."""

    mask: Tensor
    """(B, L) bool: True for a token."""
    places: Tensor
    """(T,) int64: where its tokens stand among its B * L places, row after row."""


class Packing:
    """Where the tokens of several padded batches stand once they are laid end to end.

    The masks are (B, L), 1 for a token and 0 for padding on the right; every row has a token. `places` has
    `flatten().nonzero()` of each mask, (T,), where it is known already: to find it on a GPU, the CPU would have to wait
    for how many there are.
    """

    def __init__(self, masks: Sequence[Tensor], places: Sequence[Tensor | None]) -> None:
        self._grids = [
            _Grid(mask_BL.bool(), mask_BL.flatten().nonzero().squeeze(1) if known is None else known)
            for mask_BL, known in zip(masks, places, strict=True)
        ]
        self._masks: dict[MaskFunction | None, list[Tensor]] = {}
        """Of each grid, by the pattern that layers lay over it; made once a pass."""

    @property
    def positions(self) -> Tensor:
        """(1, T): each token's position in its own sequence, from 0."""
        return torch.cat([grid.places % grid.mask.shape[1] for grid in self._grids]).unsqueeze(0)

    def pack(self, padded: Sequence[Tensor]) -> Tensor:
        """Return (1, T, ...) from (B, L, ...) of each batch."""
        pieces = [x.flatten(0, 1).index_select(0, grid.places) for x, grid in zip(padded, self._grids, strict=True)]
        return torch.cat(pieces).unsqueeze(0)

    def unpack(self, packed_1TD: Tensor) -> tuple[Tensor, ...]:
        """Return padded_BLD of each batch, zero at padding, from all tokens."""
        pieces = torch.split(packed_1TD.squeeze(0), [len(grid.places) for grid in self._grids])
        return tuple(
            piece_TD.new_zeros(grid.mask.numel(), piece_TD.shape[1])
            .index_copy(0, grid.places, piece_TD)
            .view(*grid.mask.shape, -1)
            for piece_TD, grid in zip(pieces, self._grids, strict=True)
        )

    def attend(
        self,
        query_1THE: Tensor,
        key_1THE: Tensor,
        value_1THE: Tensor,
        *,
        pattern: MaskFunction | None = None,
        dropout: float = 0.0,
        scale: float | None = None,
    ) -> Tensor:
        """Return attended_1THE: each token attends to the tokens of its own sequence, or those of the `pattern`.

        With fewer heads of key and value, each serves as many neighboring heads of the query. `dropout` and `scale` are
        those of PyTorch's scaled dot product.
        """
        num_heads = query_1THE.shape[2]
        parts = [x.flatten(2) for x in (query_1THE, key_1THE, value_1THE)]
        num_heads_of = [x.shape[2] for x in (query_1THE, key_1THE, value_1THE)]
        attended = []
        for mask, *rows in zip(self._masks_for(pattern), *map(self.unpack, parts), strict=True):
            query, key, value = (
                _shared(part.unflatten(-1, (heads, -1)).transpose(1, 2), num_heads)
                for part, heads in zip(rows, num_heads_of, strict=True)
            )
            result = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale
            )
            attended.append(result.transpose(1, 2).flatten(2))
        packed_1TD = self.pack(attended)
        return packed_1TD.view(1, packed_1TD.shape[1], num_heads, -1)

    def _masks_for(self, pattern: MaskFunction | None) -> list[Tensor]:
        if pattern not in self._masks:
            self._masks[pattern] = [attention_mask(grid.mask, pattern) for grid in self._grids]
        return self._masks[pattern]


def attention_mask(real_BL: Tensor, pattern: MaskFunction | None = None) -> Tensor:
    """Return the mask for PyTorch's scaled dot product: (B, 1, 1, L) without a pattern, else (B, 1, L, L).

    Every query has a key, those of padding too: from a query without any, some kernels make NaN, which the backward
    pass spreads to all (huggingface/transformers#31035). Every row of `real_BL`, True for a token, must have a token.
    """
    real_B11L = real_BL[:, None, None, :]
    if pattern is None:
        return real_B11L
    place_L = torch.arange(real_BL.shape[1], device=real_BL.device)
    near_LL = pattern(0, 0, place_L[:, None], place_L[None, :])
    return real_B11L & (near_LL | real_BL.logical_not()[:, None, :, None])


def _shared(x_BHLE: Tensor, num_heads: int) -> Tensor:
    groups = num_heads // x_BHLE.shape[1]
    return x_BHLE if groups == 1 else x_BHLE.repeat_interleave(groups, dim=1)


def can_pack(model: PreTrainedModel) -> bool:
    """Return whether a model can run on packed tokens."""
    config = model.config
    return (
        config.model_type in PACKABLE
        and attention_implementation(config) == "sdpa"
        and not any(kind in _LENGTH_DEPENDENT_ROPE for kind in _rope_types(getattr(config, "rope_parameters", None)))
    )


def _rope_types(parameters: dict[str, Any] | None) -> list[str]:
    """Return the kinds of rotary positions; an architecture may have others for other layers."""
    if not parameters:
        return []
    nested = [part for part in parameters.values() if isinstance(part, dict)]
    return [part.get("rope_type", "default") for part in nested or [parameters]]


@contextmanager
def packed_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let the model's attention use the `packing` that its forward is given."""
    assert can_pack(model), f"{model.config.model_type} cannot be packed"
    before = attention_implementation(model.config)
    set_attention_implementation(model.config, _NAME)
    try:
        yield
    finally:
        set_attention_implementation(model.config, before)


def window_pattern(model: PreTrainedModel) -> MaskFunction:
    """Return transformers' rule which tokens the layers with windows of this model attend to."""
    with packed_attention(model):
        answer: Any = create_bidirectional_sliding_window_mask(
            config=model.config, inputs_embeds=torch.empty(1, 1, 1), attention_mask=None
        )
    pattern: MaskFunction = answer  # It is `_pattern`'s.
    return pattern


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: MaskFunction | None,
    *,
    packing: Packing,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Answer transformers' attention interface: three (1, H, T, E) in, (1, T, H, E) out.

    Windows come with the mask, which is `_pattern`'s; each architecture counts the ignored `sliding_window` in
    another way.
    """
    rows = (x.transpose(1, 2) for x in (query, key, value))
    return packing.attend(*rows, pattern=attention_mask, dropout=dropout, scale=scaling), None


def _pattern(*_: object, mask_function: MaskFunction, **__: object) -> MaskFunction | None:
    """Answer transformers' mask interface with the rule itself, which a packing lays over each of its grids."""
    return None if mask_function is _EVERYWHERE else mask_function


AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, _pattern)
