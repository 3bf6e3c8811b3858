"""The inputs of a run: the rows of its tasks, in their templates, encoded with the encoder's own tokenizer."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from transformers import PreTrainedTokenizerFast

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.encoding import EncodedSplit, SpecialIds
from mtbert_ray.data.sources import Examples, Split, load_examples
from mtbert_ray.data.tokenize import tokenize
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.tasks import TaskSpec

Inputs = dict[str, EncodedSplit]
"""Task name -> encoded rows, in the order of the tasks."""
LoadInputs = Callable[[TrialConfig, Split], Inputs]
"""Returns the encoded rows of a split, as `load_inputs` does."""


def load_inputs(config: TrialConfig, split: Split) -> Inputs:
    """Return the encoded rows of every task that has them.

    Only the test split may be missing for a task. Tokenizing is done once per node and cached.

    Raises:
        DataError: a file cannot be read as its task needs it.
        EncoderError: the encoder's tokenizer cannot be found.
    """
    tokenizer = load_tokenizer(config.encoder)
    inputs: Inputs = {}
    for task in config.tasks:
        if (examples := load_examples(task, config.data, split, seed=config.seed)) is not None:
            inputs[task.name] = encode(examples, config, tokenizer, task=task)
    return inputs


def row_notes(inputs: Inputs, split: Split) -> Iterator[str]:
    """Yield a line for each task of which rows were left out or lack a text, or whose dev rows were cut."""
    for name, encoded in inputs.items():
        if encoded.rows_read is not None and (note := encoded.rows_read.note()) is not None:
            yield f"{name} {split}: {note}"


def encode(
    examples: Examples, config: TrialConfig, tokenizer: PreTrainedTokenizerFast, *, task: TaskSpec, keep: bool = True
) -> EncodedSplit:
    """Return rows as the configuration encodes them; `keep` is as for `tokenize`."""
    return EncodedSplit(
        tokenize(_in_templates(examples, task), tokenizer, keep=keep),
        SpecialIds.of(tokenizer),
        pair_encoding=config.pair_encoding,
        max_length=config.data.max_length,
    )


def _in_templates(examples: Examples, task: TaskSpec) -> Examples:
    """Return the texts in their task's template, empty ones too."""
    if task.template is None:
        return examples
    first, second = task.templates
    pairs = examples.sentence2
    return replace(
        examples,
        sentence1=[first.replace("{sentence}", sentence) for sentence in examples.sentence1],
        sentence2=None if pairs is None else [second.replace("{sentence}", sentence) for sentence in pairs],
    )


_READ = {"tasks", "data", "encoder", "pair_encoding", "seed"}
"""Every key that `load_inputs` reads."""
assert TrialConfig.model_fields.keys() >= _READ, "pydantic would leave out what it does not know"


class RememberedInputs:
    """Loads as `load_inputs` does, and returns the last rows again to a config that reads the same.

    For a process that runs trial after trial: those of a sweep mostly differ in what is done with the rows. A file
    that changes meanwhile is not read again. Of each split the last rows are kept.
    """

    def __init__(self, load: LoadInputs = load_inputs) -> None:
        self._load = load
        self._kept: dict[Split, tuple[str, Inputs]] = {}

    def __call__(self, config: TrialConfig, split: Split) -> Inputs:
        """Return the encoded rows of a split; raises what `load_inputs` does."""
        key = config.model_dump_json(include=_READ)
        known, inputs = self._kept.get(split, (None, None))
        if inputs is None or known != key:
            self._kept.pop(split, None)  # First, so that no two sets of rows are ever held at once.
            inputs = self._load(config, split)
            self._kept[split] = (key, inputs)
        return dict(inputs)
