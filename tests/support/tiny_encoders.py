"""Tiny random encoders of every family, saved as transformers saves them, for tests without a network.

What tells a family apart is switched on: windows shorter than the sentences, fewer key heads than query heads, shared
layers, positions that start behind the padding index, a token's embedding narrower than the states. Tokenizers frame
sentences as the family's published ones do; a token is a character or a byte.
"""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedModel, PreTrainedTokenizerFast

MAX_TOKENS = 128
"""Longest sequence of each, in tokens."""
NUM_LAYERS = 3
WIDTH = 32
_CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation
_BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def _word_pieces(special: tuple[str, ...]) -> Tokenizer:
    unknown = next(token for token in special if "unk" in token.lower())
    pieces = (*special, *_CHARACTERS, *(f"##{letter}" for letter in string.ascii_lowercase + string.digits))
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _bytes(special: tuple[str, ...]) -> Tokenizer:
    pieces = (*special, *sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentence_pieces(special: tuple[str, ...]) -> Tokenizer:
    unknown = next(i for i, token in enumerate(special) if "unk" in token.lower())
    scores = [(token, 0.0) for token in special] + [(piece, -2.0) for piece in ("▁", *_CHARACTERS)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=unknown, byte_fallback=False))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def _tokenizer(
    make: Callable[[tuple[str, ...]], Tokenizer], special: tuple[str, ...], single: str, pair: str, **roles: Any
) -> PreTrainedTokenizerFast:
    """Return a tokenizer that frames by templates as `[CLS] $A [SEP]`; roles are `cls_token` and its like."""
    tokenizer = make(special)
    framing = [(token, tokenizer.token_to_id(token)) for token in special]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=framing)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_TOKENS, **roles)


def _bert_like(make: Callable[[tuple[str, ...]], Tokenizer], *, types: bool = True) -> PreTrainedTokenizerFast:
    second = 1 if types else 0
    names = ["input_ids", "token_type_ids", "attention_mask"] if types else ["input_ids", "attention_mask"]
    return _tokenizer(
        make,
        _BERT_SPECIAL,
        "[CLS] $A [SEP]",
        f"[CLS] $A [SEP] $B:{second} [SEP]:{second}",
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=names,
    )


def _roberta_like(make: Callable[[tuple[str, ...]], Tokenizer]) -> PreTrainedTokenizerFast:
    return _tokenizer(
        make,
        _ROBERTA_SPECIAL,
        "<s> $A </s>",
        "<s> $A </s> </s> $B </s>",
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        bos_token="<s>",
        eos_token="</s>",
    )


def _llama_like() -> PreTrainedTokenizerFast:
    """Return one with neither [CLS] nor [SEP], which marks start and end by other tokens."""
    special = ("<|begin_of_text|>", "<|end_of_text|>", "<|mask|>", "<|pad|>")
    return _tokenizer(
        _bytes,
        special,
        "<|begin_of_text|> $A <|end_of_text|>",
        "<|begin_of_text|> $A <|end_of_text|> <|begin_of_text|>:1 $B:1 <|end_of_text|>:1",
        pad_token="<|pad|>",
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
        mask_token="<|mask|>",
    )


@dataclass(frozen=True, kw_only=True)
class Family:
    """How to build the encoder of a family."""

    tokenizer: Callable[[], PreTrainedTokenizerFast]
    config: Mapping[str, Any] = field(default_factory=dict)
    """Of its configuration, beside or instead of the common values."""
    query_value: tuple[str, ...]
    """Ends of the names of the layers that compute queries and values."""
    num_adapted: int = 2 * NUM_LAYERS
    """Layers that have such a name."""
    has_pooler: bool = False
    """Whether the saved files hold a pooling layer."""


_ROBERTA = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "max_position_embeddings": MAX_TOKENS + 2}
_SELF = ("attention.self.query", "attention.self.value")
_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}}

FAMILIES: dict[str, Family] = {
    "bert": Family(tokenizer=lambda: _bert_like(_word_pieces), query_value=_SELF, has_pooler=True),
    "roberta": Family(
        tokenizer=lambda: _roberta_like(_bytes),
        config=_ROBERTA | {"type_vocab_size": 1},
        query_value=_SELF,
        has_pooler=True,
    ),
    "xlm-roberta": Family(
        tokenizer=lambda: _roberta_like(_sentence_pieces),
        config=_ROBERTA | {"type_vocab_size": 1},
        query_value=_SELF,
        has_pooler=True,
    ),
    "electra": Family(tokenizer=lambda: _bert_like(_word_pieces), config={"embedding_size": 16}, query_value=_SELF),
    "albert": Family(
        tokenizer=lambda: _bert_like(_sentence_pieces),
        config={"embedding_size": 16},
        query_value=("attention.query", "attention.value"),
        num_adapted=2,
        has_pooler=True,
    ),
    "distilbert": Family(
        tokenizer=lambda: _bert_like(_word_pieces),
        config={"dim": WIDTH, "n_layers": NUM_LAYERS, "n_heads": 4, "hidden_dim": 48},
        query_value=("attention.q_lin", "attention.v_lin"),
    ),
    "mpnet": Family(
        tokenizer=lambda: _roberta_like(_word_pieces),
        config=_ROBERTA,
        query_value=("attn.q", "attn.v"),
        has_pooler=True,
    ),
    "deberta-v2": Family(
        tokenizer=lambda: _bert_like(_sentence_pieces),
        config={
            "type_vocab_size": 0,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "position_biased_input": False,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "max_relative_positions": -1,
        },
        query_value=("query_proj", "value_proj"),
    ),
    "modernbert": Family(
        tokenizer=lambda: _bert_like(_bytes, types=False),
        config={
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
            "cls_token_id": 2,
            "sep_token_id": 3,
            "bos_token_id": 2,
            "eos_token_id": 3,
        },
        query_value=("attn.Wqkv",),
        num_adapted=NUM_LAYERS,
    ),
    "eurobert": Family(
        tokenizer=_llama_like,
        config={"num_key_value_heads": 2, "bos_token_id": 0, "eos_token_id": 1, "mask_token_id": 2} | _ROPE,
        query_value=("self_attn.q_proj", "self_attn.v_proj"),
    ),
    "nomic_bert": Family(
        tokenizer=lambda: _bert_like(_word_pieces),
        config=_ROPE,
        query_value=("self_attn.q_proj", "self_attn.v_proj"),
    ),
    "gte": Family(
        tokenizer=lambda: _roberta_like(_sentence_pieces),
        config={"pad_token_id": 1} | _ROPE,
        query_value=("self_attn.q_proj", "self_attn.v_proj"),
    ),
    "jina_embeddings_v3": Family(
        tokenizer=lambda: _roberta_like(_sentence_pieces),
        config={"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2} | _ROPE,
        query_value=("self_attn.q_proj", "self_attn.v_proj"),
        has_pooler=True,
    ),
    "camembert": Family(
        tokenizer=lambda: _roberta_like(_sentence_pieces),
        config=_ROBERTA | {"type_vocab_size": 1},
        query_value=_SELF,
        has_pooler=True,
    ),
    "ernie": Family(
        tokenizer=lambda: _bert_like(_word_pieces),
        config={"use_task_id": True, "task_type_vocab_size": 3},
        query_value=_SELF,
        has_pooler=True,
    ),
    "rembert": Family(
        tokenizer=lambda: _bert_like(_sentence_pieces),
        config={"input_embedding_size": 16, "output_embedding_size": 24, "bos_token_id": 2, "eos_token_id": 3},
        query_value=_SELF,
        has_pooler=True,
    ),
    "convbert": Family(
        tokenizer=lambda: _bert_like(_word_pieces),
        config={"embedding_size": 16, "head_ratio": 2, "conv_kernel_size": 3},
        query_value=_SELF,
    ),
    "roformer": Family(tokenizer=lambda: _bert_like(_word_pieces), config={"embedding_size": 16}, query_value=_SELF),
}
"""By `model_type`."""
NAMED = tuple(FAMILIES)[:12]
"""Those that must work; the others are their near relatives."""


def tiny_model(family: str, *, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """Return the random model of a family as AutoModel builds it, in eval mode.

    Args:
        family: a key of FAMILIES.
        seed: of its weights.
        changes: of its configuration, before those of the family.
    """
    tokenizer = FAMILIES[family].tokenizer()
    common = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": MAX_TOKENS,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if family == "distilbert":  # Where these are other names of what its configuration names.
        common = {key: common[key] for key in ("vocab_size", "max_position_embeddings", "pad_token_id")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AutoConfig.for_model(family, **(common | dict(FAMILIES[family].config) | changes))
        model = AutoModel.from_config(config)
        _spread(model)
    return model.eval()


def save_tiny_encoder(family: str, folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Write model and tokenizer of a family into a folder, and return it; arguments as `tiny_model`'s."""
    tiny_model(family, seed=seed, **changes).save_pretrained(folder)
    FAMILIES[family].tokenizer().save_pretrained(folder)
    return folder


@torch.no_grad()
def _spread(model: PreTrainedModel) -> None:
    """Draw weights large enough that an error shows in the output, biases and norms included."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=0.2)
        else:
            parameter.add_(0.1 * torch.randn_like(parameter))
