"""The encoder `tiny`: a small random BERT and its character tokenizer, built in code, for tests and dry runs."""

import string

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PretrainedConfig, PreTrainedTokenizerFast

_MAX_TOKENS = 512
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LETTERS = string.ascii_lowercase + string.digits
# Punctuation is split off into words of its own, so only letters and digits ever continue a word.
_VOCABULARY = {
    token: index
    for index, token in enumerate(
        (*_SPECIAL_TOKENS, *_LETTERS, *string.punctuation, *(f"##{letter}" for letter in _LETTERS))
    )
}


def tiny_config() -> BertConfig:
    """Return the shape of the tiny encoder: 2 layers, width 32."""
    return BertConfig(
        vocab_size=len(_VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=_MAX_TOKENS,
        pad_token_id=_VOCABULARY["[PAD]"],
    )


def build_tiny(config: PretrainedConfig, *, add_pooling_layer: bool) -> BertModel:
    """Return a BERT in eval mode, its weights drawn from the current generator."""
    assert isinstance(config, BertConfig), "the configuration is tiny_config's"
    model = BertModel(config, add_pooling_layer=add_pooling_layer)
    model.train(False)
    return model


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Return a lower-casing WordPiece tokenizer whose pieces are single characters."""
    tokenizer = Tokenizer(models.WordPiece(_VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", _VOCABULARY["[SEP]"]), ("[CLS]", _VOCABULARY["[CLS]"])
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=_MAX_TOKENS,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
