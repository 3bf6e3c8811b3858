"""Several padded batches of tokens as one sequence without padding, which each token's own layers never see.

Only inside the attention the tokens stand in their padded grids again. Knows transformers' attention interface;
which architectures it fits is decided here, what is done with the states is not.
"""

# B rows, L tokens of the longest of them, T real tokens of all batches, H heads, D width (of all heads)

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

PACKABLE = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert"})
"""Architectures whose tokens meet in the attention alone, with absolute positions that can be given."""

_NAME = "packed"


class _Grid(NamedTuple):
    """One padded batch."""

    mask: Tensor
    """(B, L) bool: True for a token."""
    places: Tensor
    """(T,) int64: where its tokens stand among its B * L places, row after row."""


class Packing:
    """Where the tokens of several padded batches stand once they are laid end to end.

    Args:
        masks: (B, L) of each batch, 1 for a token and 0 for padding on the right. Every row has a token.
        places: of each batch, `flatten().nonzero()` of its mask as (T,), where that is known already; finding it on
            a GPU, the CPU would have to wait for how many there are.
    """

    def __init__(self, masks: Sequence[Tensor], places: Sequence[Tensor | None]) -> None:
        self._grids = [
            _Grid(mask_BL.bool(), mask_BL.flatten().nonzero().squeeze(1) if known is None else known)
            for mask_BL, known in zip(masks, places, strict=True)
        ]

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
        query_1TD: Tensor,
        key_1TD: Tensor,
        value_1TD: Tensor,
        *,
        num_heads: int,
        dropout: float,
        scale: float | None,
    ) -> Tensor:
        """Return attended_1TD: each token attends to the tokens of its own sequence.

        Args:
            query_1TD: all heads side by side.
            key_1TD: likewise.
            value_1TD: likewise.
            num_heads: H.
            dropout: share of the weights that PyTorch's scaled dot product drops, on every device.
            scale: of the scores; none takes 1 / sqrt(width of a head).
        """
        attended = []
        for grid, *parts in zip(self._grids, *(self.unpack(x) for x in (query_1TD, key_1TD, value_1TD)), strict=True):
            query, key, value = (part.unflatten(-1, (num_heads, -1)).transpose(1, 2) for part in parts)
            mask = grid.mask[:, None, None, :]
            result = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale
            )
            attended.append(result.transpose(1, 2).flatten(2))
        return self.pack(attended)


def can_pack(model: PreTrainedModel) -> bool:
    """Return whether a model can run on packed tokens."""
    return model.config.model_type in PACKABLE and model.config._attn_implementation == "sdpa"


@contextmanager
def packed_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let the model attend by the `packing` that its forward is given."""
    assert can_pack(model), f"{model.config.model_type} cannot be packed"
    before = model.config._attn_implementation
    model.config._attn_implementation = _NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: Packing,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Answer transformers' attention interface: three (1, H, T, width of a head) in, (1, T, H, width of a head) out."""
    num_heads = query.shape[1]
    in_rows = (x.transpose(1, 2).flatten(2) for x in (query, key, value))
    attended_1TD = packing.attend(*in_rows, num_heads=num_heads, dropout=dropout, scale=scaling)
    return attended_1TD.view(1, -1, num_heads, query.shape[-1]), None


def _no_mask(*_: object, **__: object) -> None:
    """Answer transformers' mask interface: the packing knows which tokens belong together."""


AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, _no_mask)
