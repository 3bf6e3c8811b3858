"""Reads the tokenizer of a pretrained encoder, and says why one cannot be taken."""

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mtbert_ray.errors import EncoderError
from mtbert_ray.models.pretrained import LOAD_ERRORS, not_loaded, read_config, source_of
from mtbert_ray.models.pretrained_checks import check_holds_keys


def read_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Return the tokenizer of an encoder.

    Raises:
        EncoderError: there is none, it is not a fast one, has no padding token, or is another model's.
    """
    config = read_config(name)
    check_holds_keys(name, source_of(name), "tokenizer_config.json", "tokenizer.json")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source_of(name), trust_remote_code=False)
    except LOAD_ERRORS as error:
        raise not_loaded(name, error, part="a tokenizer") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise EncoderError(
            f"encoder '{name}': its tokenizer {type(tokenizer).__name__} has no fast version; take another encoder"
        )
    if tokenizer.pad_token_id is None:
        raise EncoderError(f"encoder '{name}': its tokenizer has no padding token: not a BERT-like encoder's")
    _check_vocabulary(name, tokenizer, getattr(config, "vocab_size", None))
    # A sentence-transformers file carries its own truncation and padding to 128; lengths are the caller's to choose.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def _check_vocabulary(name: str, tokenizer: PreTrainedTokenizerFast, num_embeddings: int | None) -> None:
    """Without a vocabulary's files transformers makes up a tokenizer that knows its special tokens alone."""
    if num_embeddings is None:
        return
    num_tokens = len(tokenizer)
    # Tables are often a little longer than the vocabulary; a few added tokens may lie behind them unused.
    too_many = tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=False) > num_embeddings
    if too_many or tokenizer.pad_token_id >= num_embeddings or 2 * num_tokens < num_embeddings:
        raise EncoderError(
            f"encoder '{name}': its tokenizer has {num_tokens} tokens, the model embeds {num_embeddings}: the "
            "tokenizer's files (tokenizer.json) are missing or another model's"
        )
