"""A row's topic by entailment: how well an NLI model says that "This example is TOPIC." follows from the row.

After Yin et al. 2019, through transformers' zero-shot-classification pipeline. Knows nothing of quotas and files.
"""

# U texts, T topics

import logging
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast, pipeline
from transformers.utils import logging as transformers_logging

from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.errors import EncoderError
from mtbert_ray.models.state import base_fingerprint
from mtbert_ray.sampling.chunks import FloatArray, digest_of

_LOAD_ERRORS = (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError)
"""What transformers raises for a missing, damaged, foreign or ill-fitting file, or a missing optional dependency."""
_WAY_OUT = "or classify without an NLI model: --set method=embeddings"


@final
class ZeroShotReader:
    """Gives each text the softmax, over the topics, of the model's logits for entailment.

    Args:
        config: names the model, the topics and the hypothesis.
        texts: (U,) those of like length together, so that batches have little padding.
        device: where the model runs.

    Raises:
        EncoderError: the model cannot be had or is no NLI model.
    """

    chunk_size = 128

    def __init__(self, config: SampleConfig, texts: Sequence[str], device: torch.device) -> None:
        self.texts = texts
        self._topics = list(config.topics)
        self._hypothesis = config.hypothesis
        self._batch_size = config.batch_size
        model, tokenizer = _load(config.model)
        tokenizer.model_max_length = min(tokenizer.model_max_length, config.data.max_length)
        self.fingerprint = digest_of(
            "zero_shot",
            base_fingerprint(model),
            tokenizer.backend_tokenizer.to_str(),
            str(tokenizer.model_max_length),
            config.hypothesis,
            *self._topics,
        )
        self._pipeline: Any = pipeline("zero-shot-classification", model=model, tokenizer=tokenizer, device=device)

    @torch.inference_mode()
    def read(self, start: int, stop: int) -> FloatArray:
        """Return how likely each topic is for texts[start:stop], (stop - start, T) float32."""
        found = self._pipeline(
            [text or " " for text in self.texts[start:stop]],  # The pipeline refuses an empty one.
            candidate_labels=self._topics,
            hypothesis_template=self._hypothesis,
            batch_size=self._batch_size,
        )
        by_topic = [dict(zip(one["labels"], one["scores"], strict=True)) for one in found]
        return np.array([[scores[topic] for topic in self._topics] for scores in by_topic], dtype=np.float32)


def _load(name: str) -> tuple[Any, PreTrainedTokenizerFast]:
    """Return the model in float32 and eval mode, its parameters frozen, and its tokenizer."""
    logger = logging.getLogger("transformers")
    level, had_bar = logger.level, transformers_logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True
        )
    except _LOAD_ERRORS as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EncoderError(
            f"model '{name}' cannot be loaded as an NLI model: {first_line} Give a folder written by save_pretrained "
            f"or a name on the Hugging Face Hub, as facebook/bart-large-mnli, {_WAY_OUT}"
        ) from error
    finally:
        logger.setLevel(level)
        if had_bar:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    labels = [str(label) for label in model.config.id2label.values()]
    if not any(label.lower().startswith("entail") for label in labels):
        raise EncoderError(
            f"model '{name}' is no NLI model: none of its labels ({', '.join(labels)}) is 'entailment'; give one that "
            f"was trained on NLI, as facebook/bart-large-mnli, {_WAY_OUT}"
        )
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise EncoderError(
            f"model '{name}': its files hold no weights for {len(missing)} of its parameters, which would stay random "
            f"({', '.join(missing[:3])}); give a complete model, {_WAY_OUT}"
        )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise EncoderError(f"model '{name}': its tokenizer has no fast version; give another model, {_WAY_OUT}")
    return model.requires_grad_(False).eval(), tokenizer
