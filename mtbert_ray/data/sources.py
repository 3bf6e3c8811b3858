"""Where a task's rows come from: the toy corpus, the course's files, the user's tables, or the Hugging Face Hub.

Hands out checked examples; knows nothing of tokenizers and batches.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mtbert_ray.config import DataConfig
from mtbert_ray.data.course import COURSE_FILES, read_course
from mtbert_ray.data.examples import Examples, RawTable, Split, examples_of, is_blank
from mtbert_ray.data.hub import read_hub
from mtbert_ray.data.table import read_table, separator_in
from mtbert_ray.data.toy import toy_examples
from mtbert_ray.errors import DataError
from mtbert_ray.tasks import KNOWN_TASKS, Columns, HubSource, TableSource, TaskSpec

__all__ = ["Examples", "Split", "columns_of", "load_examples", "load_file"]

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
    if task.source is None:
        _require_known(task)
    if split == "train" and task.name in data.train_files:
        examples = examples_of(_read_train_file(task, Path(data.train_files[task.name])), task, split)
    elif task.source is None and data.source == "toy":
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


def columns_of(task: TaskSpec) -> Columns:
    """Return what a task's columns are called: in its own source, or in the course's files."""
    return COURSE_FILES[task.name].columns if task.source is None else task.source.columns


def load_file(task: TaskSpec, path: Path) -> Examples:
    """Read and check all rows of a file with a task's own columns, as those of its source or of the course's files.

    Identifiers may be left out; rows then have their number. Labels may be left out: a file without their column, or
    with nothing in it, gives examples without labels. In any other file rows without a label are left out, as in a
    dev split.

    Args:
        task: whose rows they are.
        path: .csv, .tsv or .parquet; a text file is separated by tabs where its header line has one.

    Raises:
        DataError: the file cannot be read, or its rows are not what the task needs.
    """
    if task.source is None:
        _require_known(task)
    table = _read_file(task, path)
    if table.columns.id not in table.frame.columns:
        # The course's files have one; a file of somebody's own need not.
        table = replace(table, columns=table.columns.model_copy(update={"id": None}))
    label = table.columns.label
    is_labelled = label in table.frame.columns and not is_blank(table.frame[label]).all()
    return examples_of(table, task, "dev" if is_labelled else "test")


def _read_train_file(task: TaskSpec, path: Path) -> RawTable:
    if not path.exists():
        raise DataError(
            f"{path}: no such file; data.train_files names it for the training rows of task '{task.name}'. Write it "
            f"with python -m mtbert_ray.sample TOPICS.yaml --out {path}, or name a file that there is"
        )
    return _read_file(task, path)


def _read_file(task: TaskSpec, path: Path) -> RawTable:
    columns_from = f"the course's format of task '{task.name}'"
    if task.source is not None:
        columns_from = f"source.columns of task '{task.name}'"
    own = task.source.separator if isinstance(task.source, TableSource) else None
    return RawTable(
        frame=read_table(path, separator=separator_in(path, otherwise=own)),
        columns=columns_of(task),
        origin=str(path),
        columns_from=columns_from,
    )


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
            dev_split = source.dev_split or "validation"
            split_name = {"train": source.train_split, "dev": dev_split, "test": source.test_split}[split]
            return None if split_name is None else read_hub(source, task_name=task.name, split_name=split_name)
        case None:
            assert data.directory is not None, "a DataConfig checks that the course has a directory"
            return read_course(task.name, Path(data.directory), split)


def _require_known(task: TaskSpec) -> None:
    """Refuse a task that has the name of a known data set but asks something else of it."""
    known = KNOWN_TASKS[task.name]
    # How it is scored and what stands around its texts is the user's choice; what its rows are is not.
    if task.model_copy(update={"metrics": (), "weight": 1.0, "template": None}) != known:
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
