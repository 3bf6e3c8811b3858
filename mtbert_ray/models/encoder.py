"""The encoder: token ids in, one embedding a sequence out."""

# B batch, L tokens, T real tokens of all batches, D width, E width of a token's own embedding (D, but for ALBERT and
# its like)

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from mtbert_ray.errors import EncoderError
from mtbert_ray.models.architecture import (
    check_padding,
    freeze_fixed_positions,
    has_pooling_layer,
    has_windows,
    longest_sequence,
    pooler_output,
    position_padding,
    set_dropout,
    uses_token_types,
    usual_pooling,
)
from mtbert_ray.models.heads import seeded
from mtbert_ray.models.packing import Packing, attention_mask, can_pack, packed_attention, window_pattern
from mtbert_ray.models.pretrained import TINY, Pooling, pooling_made_with, read_config, read_model, read_tokenizer
from mtbert_ray.models.tiny import build_tiny, tiny_config, tiny_tokenizer


class Encoder(nn.Module):
    """A BERT-like transformers model and the pooling of its token states.

    Args:
        model: loaded or built without its pooling layer unless `pooling` is "pooler", so that no parameter is unused.
        pooling: "cls" takes the first token's state, "mean" averages over the real tokens, "pooler" is the model's
            own layer (dense and tanh on the first token's state, Devlin et al. 2019).
    """

    def __init__(self, model: PreTrainedModel, *, pooling: Pooling) -> None:
        super().__init__()
        self.model = model
        freeze_fixed_positions(model)
        self.pooling = pooling
        self.width: int = model.config.hidden_size
        self._position_padding = position_padding(model)
        self.max_length = longest_sequence(model)
        """Longest sequence that the encoder was made for, in tokens; none for DeBERTa's relative positions."""
        self.has_token_types = uses_token_types(model)
        """Whether the type of a token, first or second segment, makes a difference."""

    @property
    def word_embeddings(self) -> nn.Embedding:
        """The token embedding table, whose output SMART perturbs.

        Raises:
            EncoderError: the encoder looks its tokens up in another way, as I-BERT's whole numbers.
        """
        table = self.model.get_input_embeddings()
        if not isinstance(table, nn.Embedding):
            raise EncoderError(
                f"an encoder of type '{self.model.config.model_type}' has no plain table of token embeddings, which "
                "SMART perturbs; leave smart.tasks empty, or take another encoder"
            )
        return table

    def forward(
        self,
        input_ids_BL: Tensor,
        attention_mask_BL: Tensor,
        token_type_ids_BL: Tensor,
        noise_BLE: Tensor | None = None,
    ) -> Tensor:
        """Return embedding_BD; padding (mask 0) has no influence on it.

        `noise_BLE` is added to the tokens' own embeddings, before positions, types and normalization.
        """
        token_types = {"token_type_ids": token_type_ids_BL} if self.has_token_types else {}
        with self._perturbed(noise_BLE):
            output = self.model(input_ids=input_ids_BL, attention_mask=self._mask(attention_mask_BL), **token_types)
        if self.pooling == "pooler":
            pooled_BD: Tensor = output.pooler_output
            return pooled_BD
        return self._pooled(output.last_hidden_state, attention_mask_BL)

    @property
    def can_pack(self) -> bool:
        """Whether `embed_packed` works for this architecture."""
        return can_pack(self.model)

    def embed_packed(
        self, batches: Sequence[Mapping[str, Tensor]], noise: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """Return the embedding_BD of several batches, as `forward` does, by one pass over their real tokens alone.

        Each batch has `input_ids`, `attention_mask`, `token_type_ids`, (B, L), and perhaps `places`, see `Packing`; B
        and L may differ from batch to batch. `noise` is the noise_BLE of each.
        """
        masks = [tokens["attention_mask"] for tokens in batches]
        packing = Packing(masks, [tokens.get("places") for tokens in batches])
        inputs = {"input_ids": packing.pack([tokens["input_ids"] for tokens in batches])}
        if self.has_token_types:
            inputs["token_type_ids"] = packing.pack([tokens["token_type_ids"] for tokens in batches])
        inputs["position_ids"] = self._positions(packing, batches)
        with self._perturbed(None if noise is None else packing.pack(noise)), packed_attention(self.model):
            hidden_1TD = self.model(**inputs, packing=packing).last_hidden_state
        hidden = packing.unpack(hidden_1TD)
        if self.pooling == "pooler":
            return tuple(pooler_output(self.model, hidden_BLD) for hidden_BLD in hidden)
        return tuple(map(self._pooled, hidden, masks))

    def _positions(self, packing: Packing, batches: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """Return position_ids_1T."""
        padding = self._position_padding
        if padding is None:
            return packing.positions
        # As RoBERTa counts: behind the padding index, and not where a text itself names the padding token.
        counted = [tokens["input_ids"] != padding for tokens in batches]
        return packing.pack([padding + real_BL.cumsum(dim=1) * real_BL for real_BL in counted])

    def _mask(self, attention_mask_BL: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the mask as the model's attention takes it; by kind of layer where some have windows.

        Given the plain mask, transformers first looks whether there is any padding, for which the CPU would wait for
        the GPU in each pass; and with windows it leaves padding nothing to attend to.
        """
        if not self.can_pack:
            return attention_mask_BL
        real_BL = attention_mask_BL.bool()
        if not has_windows(self.model.config):
            return attention_mask(real_BL)
        near = attention_mask(real_BL, window_pattern(self.model))
        return {"full_attention": attention_mask(real_BL), "sliding_attention": near}

    def _pooled(self, hidden_BLD: Tensor, attention_mask_BL: Tensor) -> Tensor:
        if self.pooling == "cls":
            return hidden_BLD[:, 0]
        # In float32 at least, whatever the autocast mode: a sum of bfloat16 states loses digits.
        hidden_BLD = hidden_BLD.to(torch.promote_types(hidden_BLD.dtype, torch.float32))
        mask_BL1 = attention_mask_BL.unsqueeze(-1).to(hidden_BLD.dtype)
        return (hidden_BLD * mask_BL1).sum(dim=1) / mask_BL1.sum(dim=1)

    @contextmanager
    def _perturbed(self, noise_BLE: Tensor | None) -> Iterator[None]:
        if noise_BLE is None:
            yield
            return
        # A hook on the table rather than `inputs_embeds`, which not every architecture reads at the same place.
        hook = self.word_embeddings.register_forward_hook(lambda _, __, embedded_BLE: embedded_BLE + noise_BLE)
        try:
            yield
        finally:
            hook.remove()


def load_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Return the tokenizer of an encoder, with truncation and padding off.

    Raises:
        EncoderError: it cannot be found, or is not a BERT-like encoder's.
    """
    return tiny_tokenizer() if name == TINY else read_tokenizer(name)


def load_encoder(
    name: str,
    *,
    pooling: Literal["auto", "cls", "mean", "pooler"] = "auto",
    dropout: float | None = None,
    seed: int = 0,
) -> Encoder:
    """Load an encoder in float32 on the CPU, in eval mode. The global random state stays as it is.

    Args:
        name: `minilm`, `tiny`, a folder, or a name on the Hugging Face Hub.
        pooling: `auto` takes a sentence-transformers encoder's own, else `architecture.usual_pooling`.
        dropout: replaces every dropout rate inside the encoder; none keeps the encoder's own.
        seed: of the random weights of `tiny`.

    Raises:
        EncoderError: it cannot be found, is not BERT-like, or lacks weights, the pooling layer or a dropout rate.
    """
    config = tiny_config() if name == TINY else read_config(name)
    has_pooler = has_pooling_layer(config)
    if pooling == "pooler" and not has_pooler:
        raise EncoderError(f"encoder '{name}' ({config.model_type}) has no pooling layer; set pooling to cls or mean")
    made_with = pooling_made_with(name) if pooling == "auto" and name != TINY else None
    chosen = (made_with or usual_pooling(config)) if pooling == "auto" else pooling
    if dropout is not None and not set_dropout(config, dropout):
        raise EncoderError(
            f"encoder '{name}' ({config.model_type}) has no dropout rate to set; leave encoder_dropout out"
        )
    arguments = {"add_pooling_layer": chosen == "pooler"} if has_pooler else {}
    with seeded(seed, "encoder"):
        if name == TINY:
            return Encoder(build_tiny(config, **arguments), pooling=chosen)
        model, missing = read_model(name, config, **arguments)
        if not missing and not can_pack(model):  # Those that can be packed are known to mask what is padded.
            check_padding(name, model)
    if not missing:
        return Encoder(model, pooling=chosen)
    if pooling == "auto" and all(key.startswith("pooler.") for key in missing):
        # Some encoders, as RoBERTa's, were published without the pooling layer that their class would have.
        return load_encoder(name, pooling=usual_pooling(config, without_layer=True), dropout=dropout, seed=seed)
    code = "; they are for code of their own (auto_map), which is not run here" if hasattr(config, "auto_map") else ""
    raise EncoderError(
        f"encoder '{name}': its files hold no weights for {len(missing)} of its parameters, which would stay random "
        f"({', '.join(missing[:3])}){code}; take a complete encoder"
        f"{', or pooling cls or mean' if chosen == 'pooler' else ''}"
    )
