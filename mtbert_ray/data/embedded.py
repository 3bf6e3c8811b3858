"""A split whose rows are the embeddings that a frozen encoder gives them, in the place of their tokens.

Knows nothing of the encoder that made them.
"""

# B rows of a batch, N rows of the split, D width

import numpy as np
import torch

from mtbert_ray.data.encoding import EncodedSplit, TokenBatch

EMBEDDING = "embedding"
"""The one key of such a batch of tokens: (B, D), one embedding a sequence."""


class EmbeddedSplit:
    """Stands in for an `EncodedSplit`: same rows, labels and lengths, so the same batches in the same order.

    Args:
        split: what was embedded.
        embeddings: (N, D) for each sequence of a row: one, or two for a separate pair.
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
