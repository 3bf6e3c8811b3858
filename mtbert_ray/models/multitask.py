"""The multitask model: one encoder, one head for each task."""

# B batch, L tokens, D width, C classes

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Self

from torch import Tensor, nn

from mtbert_ray.models.cpu import quick_on_cpu
from mtbert_ray.models.encoder import Encoder
from mtbert_ray.models.heads import Head

TokenBatch = Mapping[str, Tensor]
"""`input_ids`, `attention_mask` and `token_type_ids`, each (B, L), perhaps with the `places` of its tokens, see
`Packing`; or the `embedding` (B, D) that a frozen encoder has given."""


class MultitaskModel(nn.Module):
    """An encoder shared by the heads of all tasks.

    The encoder's `requires_grad` flags are not changed here.
    """

    def __init__(self, encoder: Encoder, heads: Mapping[str, Head]) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    def forward(self, task: str, sentences: tuple[TokenBatch, ...], noise: tuple[Tensor, ...] | None = None) -> Tensor:
        """Return the task's logits, (B, C) or (B,).

        `sentences` is one batch of tokens, or the two of a pair whose sentences are embedded separately; `noise` has a
        noise_BLE for each, added to the tokens' embeddings.
        """
        logits: Tensor = self._head(task)(*self.embed(sentences, noise))
        return logits

    def embed(self, sentences: tuple[TokenBatch, ...], noise: tuple[Tensor, ...] | None = None) -> tuple[Tensor, ...]:
        """Return embedding_BD of each batch of tokens.

        The two sentences of a pair go through the encoder together, as one packed sequence, where it can be packed:
        batches have rows of like length, but the lengths of a pair's sentences differ, and 40% of the places would be
        padding. Otherwise each sentence takes a forward pass. Of batches of single sequences only 3% is padding.
        """
        if all("embedding" in tokens for tokens in sentences):
            return tuple(tokens["embedding"] for tokens in sentences)
        on_cpu = sentences[0]["input_ids"].device.type == "cpu"
        with quick_on_cpu() if on_cpu else nullcontext():
            if len(sentences) > 1 and self.encoder.can_pack:
                return self.encoder.embed_packed(sentences, noise)
            return tuple(
                self.encoder(tokens["input_ids"], tokens["attention_mask"], tokens["token_type_ids"], noise_BLE)
                for tokens, noise_BLE in zip(sentences, noise or [None] * len(sentences), strict=True)
            )

    def loss(self, task: str, logits: Tensor, labels_B: Tensor) -> Tensor:
        """Return loss_B, float32 at least, unreduced."""
        return self._head(task).objective.loss(logits, labels_B)

    def divergence(self, task: str, logits: Tensor, other: Tensor) -> Tensor:
        """Return divergence_B, float32 at least: how far two outputs for the same rows are apart; see `Objective`."""
        return self._head(task).objective.divergence(logits, other)

    def predict(self, task: str, logits: Tensor) -> Tensor:
        """Return prediction_B, float32: the class's index, or the number in label units."""
        return self._head(task).objective.predict(logits)

    def probabilities(self, task: str, logits: Tensor) -> Tensor | None:
        """Return probabilities_BC, float32 at least; none for a regression."""
        probabilities = self._head(task).objective.probabilities
        return None if probabilities is None else probabilities(logits)

    def train(self, mode: bool = True) -> Self:
        """Set training or eval mode; a wholly frozen encoder stays in eval mode, so its embeddings can be cached."""
        super().train(mode)
        if self.encoder_is_frozen:
            self.encoder.eval()
        return self

    @property
    def encoder_is_frozen(self) -> bool:
        """Whether nothing in the encoder is trained, not even an adapter."""
        return not any(parameter.requires_grad for parameter in self.encoder.parameters())

    def _head(self, task: str) -> Head:
        head = self.heads[task]
        assert isinstance(head, Head)
        return head
