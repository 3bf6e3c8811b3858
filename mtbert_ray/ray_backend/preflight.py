"""Checks on the driver everything that trials will read: initial checkpoints, data, encoders, adapters."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from pathlib import Path

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.checkpoint import CHECKPOINT_CONFIG_NAME
from mtbert_ray.data.classes import find_classes
from mtbert_ray.data.table import Split
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.peft_adapters import FROM_WEIGHTS
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.task_metrics import in_words
from mtbert_ray.training.checkpoint import initial_model
from mtbert_ray.training.evaluate import labels_of
from mtbert_ray.training.inputs import load_inputs, row_notes
from mtbert_ray.training.scoring import undefined_before_training

RowCounts = Mapping[str, Mapping[str, int]]
"""Rows by split and task, as `{"train": {"sst": 8544}, "dev": {"sst": 1101}}`."""


def with_classes_found(space: SearchSpace) -> tuple[SearchSpace, tuple[str, ...]]:
    """Return the space with the classes of its tasks, and a line for each task whose classes were found in its rows.

    Raises:
        DataError, ConfigError: as for `find_classes`.
    """
    config, found = find_classes(space.any_config())
    if not found:
        return space, ()
    # A task given by its name alone stays so.
    given = {task if isinstance(task, str) else task["name"]: task for task in space.fixed["tasks"]}
    tasks = [
        new.name if isinstance(given[new.name], str) else new.model_dump(mode="json", exclude_unset=True)
        for new in config.tasks
    ]
    return space.model_copy(update={"fixed": {**space.fixed, "tasks": tasks}}), tuple(found)


def check_inputs(
    space: SearchSpace, *, announce: Callable[[str], None] = lambda text: None
) -> dict[str | None, RowCounts]:
    """Read and tokenize the data of every experiment with every encoder, and build a model on each.

    The tokens are cached for the trials on this node. `announce` is called once for each note on rows that were left
    out, lack a text, or were cut. Returns experiment -> its rows, under None in a space without experiments.

    Raises:
        DataError: a file cannot be read as its task needs it.
        EncoderError: an encoder cannot be found.
        CheckpointError: a checkpoint of `init_from` is damaged.
        ConfigError: a checkpoint or a file of training rows is missing, or an adapter, a checkpoint, a length or a
            dropout does not fit its encoder.
    """
    configs = space.example_configs()
    _check_files(configs)
    counts: dict[Hashable, RowCounts] = {}
    notes: dict[str, None] = {}  # In order; several encoders share the rows.
    for config in _distinct(configs, lambda config: (config.encoder, _data_of(config))):
        counts[_data_of(config)] = _count_rows(config, notes)
    for note in notes:
        announce(note)
    for config in _distinct(configs, _model_of):
        initial_model(config)
    return {name: counts[_data_of(config)] for name, config in space.one_config_each().items()}


def _count_rows(config: TrialConfig, notes: dict[str, None]) -> RowCounts:
    """Return the rows of a config and add notes on them."""
    names: tuple[Split, ...] = ("train", "dev")
    splits = {split: load_inputs(config, split) for split in names}
    for split, inputs in splits.items():
        notes |= dict.fromkeys(row_notes(inputs, split))
    return {split: {task: len(encoded) for task, encoded in inputs.items()} for split, inputs in splits.items()}


def _distinct(configs: Iterable[TrialConfig], part: Callable[[TrialConfig], Hashable]) -> list[TrialConfig]:
    """Return one config for each different part."""
    return list({part(config): config for config in configs}.values())


def _data_of(config: TrialConfig) -> Hashable:
    return config.data.model_dump_json()  # Some of its fields are mappings, which have no hash.


def _model_of(config: TrialConfig) -> Hashable:
    """Return the fields on which it depends whether a model can be built; TrialConfig checks the others."""
    adapter = config.adapter
    has_adapter = config.finetune == "full" and adapter.kind != "none"
    rank = adapter.rank if adapter.initialization in FROM_WEIGHTS else None  # Only these limit it.
    placed = (adapter.library, adapter.kind == "vera", adapter.target_modules, rank) if has_adapter else None
    # The checkpoint's heads must fit.
    heads = (config.init_from, config.pair_encoding, str(config.hidden_layers)) if config.init_from else None
    of_encoder = (config.encoder, config.pooling, config.data.max_length, config.encoder_dropout is None)
    return (*of_encoder, placed, heads)


def _check_files(configs: Iterable[TrialConfig]) -> None:
    """Refuse all missing `init_from` folders and `data.train_files` at once."""
    configs = list(configs)
    given = {(config.init_from, config.experiment) for config in configs if config.init_from is not None}
    missing = [each for each in sorted(given, key=str) if not (Path(each[0]) / CHECKPOINT_CONFIG_NAME).is_file()]
    files = sorted({pair for config in configs for pair in config.data.train_files.items()})
    problems = [_missing_checkpoint(*each) for each in missing]
    problems += [
        f"data.train_files.{task}: {file}: no such file; a topic-balanced sample is drawn with "
        "`python -m mtbert_ray.sample TOPICS.yaml --out FILE`"
        for task, file in files
        if not Path(file).exists()
    ]
    if problems:
        raise ConfigError(problems)


def _missing_checkpoint(folder: str, experiment: str | None) -> str:
    place = "init_from" if experiment is None else f"init_from of experiment {experiment}"
    what = f"not a checkpoint (no {CHECKPOINT_CONFIG_NAME})" if Path(folder).exists() else "no such folder"
    return (
        f"{place}: {folder}: {what}; make one with `python -m mtbert_ray.train --config CONFIG.yaml --out DIR`, which "
        "leaves it in DIR/checkpoint, or name that of a sweep's trial, SWEEP/trials/ID/checkpoint"
    )


def undefined_notes(space: SearchSpace) -> Iterator[str]:
    """Yield a note for each score that will be undefined in every trial; call it after `check_inputs`."""
    configs = space.one_config_each()
    experiments: dict[str, list[str]] = {}
    known: dict[str, tuple[str, ...]] = {}
    for name, config in configs.items():
        key = config.model_dump_json(include={"data", "tasks"})
        if key not in known:
            labels = labels_of(load_inputs(config, "dev"))
            known[key] = tuple(in_words(undefined_before_training(config.tasks, labels)))
        for words in known[key]:
            experiments.setdefault(words, []).append(str(name))
    for words, names in experiments.items():
        only = "" if len(names) == len(configs) else f" of {', '.join(names)}"
        yield f"No trial{only} will have a value: {words}."
