"""From a TrialConfig to the encoded rows of its tasks: where the data floor meets the models' tokenizer."""

from pathlib import Path

from transformers import PreTrainedTokenizerFast

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.encoding import EncodedSplit, SpecialIds
from mtbert_ray.data.sources import Examples, Split, load_examples
from mtbert_ray.data.tokenise import tokenise
from mtbert_ray.models.encoder import load_tokenizer


def load_inputs(config: TrialConfig, split: Split, *, cache: Path | None = None) -> dict[str, EncodedSplit]:
    """Return the encoded rows of every task that has them, by task name, in the order of the tasks.

    Only the test split may be missing for a task. Tokenising is done once per node and cached.

    Args:
        config: names the tasks, the data, the encoder and how pairs are encoded.
        split: train, dev or test.
        cache: folder of the token cache; none takes the user's.

    Raises:
        DataError: a file cannot be read as its task needs it.
        EncoderError: the encoder's tokenizer cannot be found.
    """
    tokenizer = load_tokenizer(config.encoder)
    inputs: dict[str, EncodedSplit] = {}
    for task in config.tasks:
        examples = load_examples(task, config.data, split, seed=config.seed)
        if examples is None:
            continue
        inputs[task.name] = encode(examples, config, tokenizer, cache=cache)
    return inputs


def encode(
    examples: Examples, config: TrialConfig, tokenizer: PreTrainedTokenizerFast, *, cache: Path | None = None
) -> EncodedSplit:
    """Return rows as the configuration encodes them, tokenised with its encoder's tokenizer."""
    return EncodedSplit(
        tokenise(examples, tokenizer, cache=cache),
        SpecialIds.of(tokenizer),
        pair_encoding=config.pair_encoding,
        max_length=config.data.max_length,
    )
