"""Where a task's rows come from: the toy corpus, the course's files, the user's tables, or the Hugging Face Hub.

Hands out checked examples; knows nothing of tokenizers and batches.
"""

from pathlib import Path

import numpy as np

from mtbert_ray.config import DataConfig
from mtbert_ray.data.course import read_course
from mtbert_ray.data.examples import Examples, RawTable, Split, examples_of
from mtbert_ray.data.hub import read_hub
from mtbert_ray.data.table import read_table
from mtbert_ray.data.toy import toy_examples
from mtbert_ray.errors import DataError
from mtbert_ray.tasks import KNOWN_TASKS, HubSource, TableSource, TaskSpec

__all__ = ["Examples", "Split", "load_examples"]

DEV_ROWS_SEED = 0
"""Fixed, so that every trial of every sweep is scored on the same dev rows."""


def load_examples(task: TaskSpec, data: DataConfig, split: Split, *, seed: int) -> Examples | None:
    """Read and check the rows of one split, at most `data.max_train_rows` or `data.max_dev_rows` of them.

    The rows that a limit keeps stay in the order of the source; `num_unlabelled` counts over the whole source.

    Args:
        task: whose rows to read, from its own source or from the data set that `data.source` names.
        data: where sst, quora and sts are, and the limits.
        split: which part.
        seed: draws the training rows that a limit keeps; the dev rows are the same for every seed.

    Returns:
        The examples, or None when `split` is "test" and the task has no test data.

    Raises:
        DataError: the rows cannot be read, or are not what the task needs.
    """
    if task.source is None and data.source == "toy":
        _require_known(task)
        examples = toy_examples(task.name, split)
    else:
        table = _read(task, data, split)
        if table is None:
            return None
        examples = examples_of(table, task, split)
    match split:
        case "train":
            return _drawn(examples, data.max_train_rows_of(task.name), seed)
        case "dev":
            return _drawn(examples, data.max_dev_rows, DEV_ROWS_SEED)
        case "test":
            return examples


def _read(task: TaskSpec, data: DataConfig, split: Split) -> RawTable | None:
    """Read the table of a split; None when there is no test data."""
    match task.source:
        case TableSource() as source:
            file = {"train": source.train, "dev": source.dev, "test": source.test}[split]
            if file is None:
                return None
            return RawTable(
                frame=read_table(Path(file), separator=source.separator),
                columns=source.columns,
                origin=file,
                columns_from=f"source.columns of task '{task.name}'",
            )
        case HubSource() as source:
            split_name = {"train": source.train_split, "dev": source.dev_split, "test": source.test_split}[split]
            return None if split_name is None else read_hub(source, task_name=task.name, split_name=split_name)
        case None:
            _require_known(task)
            assert data.directory is not None, "a DataConfig checks that the course has a directory"
            return read_course(task.name, Path(data.directory), split)


def _require_known(task: TaskSpec) -> None:
    """Refuse a task that has the name of a known data set but asks something else of it."""
    known = KNOWN_TASKS[task.name]
    if task != known:
        raise DataError(
            f"task '{task.name}': the data set known by this name is a {known.kind} with "
            f"{f'{known.num_classes} classes' if known.num_classes else f'labels {list(known.label_range or ())}'}, "
            f"but the task is declared otherwise; write just '{task.name}', or give the task a source"
        )


def _drawn(examples: Examples, limit: int | None, seed: int) -> Examples:
    """Return at most `limit` rows, drawn without replacement, in their order."""
    if limit is None or limit >= len(examples):
        return examples
    rows = np.sort(np.random.default_rng(seed).choice(len(examples), size=limit, replace=False))
    return Examples(
        ids=[examples.ids[row] for row in rows],
        sentence1=[examples.sentence1[row] for row in rows],
        sentence2=None if examples.sentence2 is None else [examples.sentence2[row] for row in rows],
        labels=None if examples.labels is None else examples.labels[rows],
        num_unlabelled=examples.num_unlabelled,
        origin=examples.origin,
    )
