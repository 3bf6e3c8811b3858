"""Loads the rows of a task: from files of its own, the Hub, the course's files or the toy corpus.

The course's files are those of the CS224N final project: tab-separated, though called .csv. The first column of each is
an unnamed index, and the sst test file has two of them; both are ignored. Quora has no public test file.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mtbert_ray.config import DataConfig
from mtbert_ray.data.delimited import BY_COURSE, BY_FILE, BY_SOURCE
from mtbert_ray.data.examples import Examples, Gaps, dev_rows, examples_of
from mtbert_ray.data.hub import read_hub
from mtbert_ray.data.table import Split, Table, read_table, separator_in
from mtbert_ray.data.toy import toy_examples
from mtbert_ray.errors import DataError
from mtbert_ray.task_source import Columns, DevSplit, HubSource, Quoting, TableSource
from mtbert_ray.tasks import KNOWN_TASKS, TaskSpec

__all__ = ["Examples", "Split", "columns_of", "load_examples", "load_file", "read_train_table"]

DEV_ROWS_SEED = 0
"""Fixed, so that every trial of every sweep is scored on the same dev rows."""
COURSE_SEPARATOR = "\t"
COURSE_FILES: dict[str, tuple[str, Columns]] = {
    "sst": ("ids-sst-{}.csv", Columns(id="id", sentence1="sentence", label="sentiment")),
    "quora": ("quora-{}.csv", Columns(id="id", sentence2="sentence2", label="is_duplicate")),
    "sts": ("sts-{}.csv", Columns(id="id", sentence2="sentence2", label="similarity")),
}
"""Task -> the names of its files and of their columns."""
FILE_ENDINGS: dict[Split, str] = {"train": "train", "dev": "dev", "test": "test-student"}


def load_examples(
    task: TaskSpec, data: DataConfig, split: Split, *, seed: int, every_row: bool = False
) -> Examples | None:
    """Read and check the rows of one split, at most `data.max_train_rows` or `data.max_dev_rows` of them.

    The rows that a limit keeps stay in the order of the source; `rows_read` counts over the whole source. A task
    without test data has no "test" examples. The training rows that a limit keeps are drawn with `seed`; the dev rows
    are the same for every seed. With `every_row` rows without a label or a sentence are kept however many they are, as
    for predictions.

    Raises:
        DataError: the rows cannot be read, or are not what the task needs.
    """
    _require_known(task)
    examples = _whole(task, data, split, every_row=every_row)
    if examples is None:
        return None
    match split:
        case "train":
            return _drawn(examples, data.max_train_rows_of(task.name), seed)
        case "dev":
            return _drawn(examples, data.max_dev_rows, DEV_ROWS_SEED)
        case "test":
            return examples


def _whole(task: TaskSpec, data: DataConfig, split: Split, *, every_row: bool) -> Examples | None:
    """Read every row of a split; None when there is no test data."""
    own_split = None if task.source is None else task.source.split
    if split != "test" and own_split is not None:
        if task.name in data.train_files:
            raise DataError(
                f"data.train_files names training rows of task '{task.name}', whose dev rows are cut from its source's "
                "and could be among them; give the source dev rows of their own in place of split"
            )
        return _cut(examples_of(read_train_table(task), task, "train"), own_split, split, task)
    if split == "train" and task.name in data.train_files:
        return examples_of(_read_train_file(task, Path(data.train_files[task.name])), task, split)
    if task.source is None and data.source == "toy":
        return toy_examples(task.name, split)
    table = _read(task, data, split)
    return None if table is None else examples_of(table, task, split, every_row=every_row)


def _cut(examples: Examples, own_split: DevSplit, split: Split, task: TaskSpec) -> Examples:
    """Return the dev rows that are cut from the training rows, or the remaining training rows."""
    assert examples.labels is not None, "training rows have labels"
    rows = dev_rows(examples.labels, own_split, is_regression=task.kind.is_regression)
    if len(rows) == 0:
        raise DataError(
            f"{examples.origin}: source.split of task '{task.name}' leaves no dev row of {len(examples):,} training "
            f"rows with dev {own_split.dev:g}: each class keeps one for training; give a larger share, or more rows"
        )
    if split == "train":
        rest = examples.only(np.setdiff1d(np.arange(len(examples)), rows))
        return replace(rest, rows_read=replace(examples.rows_read, num_for_dev=len(rows)))
    how = f"{len(rows):,} of {len(examples):,} training rows, drawn with seed {own_split.seed}"
    return replace(examples.only(rows), rows_read=replace(examples.rows_read, dev_rows=how))


def _drawn(examples: Examples, limit: int | None, seed: int) -> Examples:
    """Return at most `limit` rows, drawn without replacement, in their order."""
    if limit is None or limit >= len(examples):
        return examples
    return examples.only(np.sort(np.random.default_rng(seed).choice(len(examples), size=limit, replace=False)))


def columns_of(task: TaskSpec) -> Columns:
    """Return the names of a task's columns: in its own source, or in the course's files."""
    return COURSE_FILES[task.name][1] if task.source is None else task.source.columns


def load_file(task: TaskSpec, path: Path, *, quoting: Quoting | None = None) -> Examples:
    """Read and check all rows of a file with a task's own columns, as those of its source or of the course's files.

    Every row is there, in the order of the file: one without a text has an empty one, one without a label has NaN.
    Identifiers may be left out; rows then have their number. Labels may be left out as well: a file without their
    column, or with nothing in it, gives examples without labels. A text file is separated by tabs where its header line
    has one; without `quoting` its quotes are read as those of the task's source.

    Raises:
        DataError: the file cannot be read, or its rows are not what the task needs.
    """
    _require_known(task)
    table = _read_file(task, path, quoting=quoting)
    if table.columns.id not in table.frame.columns:
        # The course's files have one; a file of somebody's own need not.
        table = replace(table, columns=table.columns.model_copy(update={"id": None}))
    if table.columns.label not in table.frame.columns:
        return examples_of(table, task, "test")
    examples = examples_of(table, task, "dev", every_row=True)
    if examples.labels is None or not np.isnan(examples.labels).all():
        return examples
    # As for a file without the column: there is nothing to score.
    return replace(examples, labels=None, rows_read=replace(examples.rows_read, unlabeled=Gaps()))


def read_train_table(task: TaskSpec) -> Table:
    """Read the training rows of a task's own source, unchecked."""
    assert task.source is not None, "sst, quora and sts are read as `data` says"
    table = _read(task, DataConfig(), "train")
    assert table is not None, "only test rows may be absent"
    return table


def _read_train_file(task: TaskSpec, path: Path) -> Table:
    if not path.exists():
        raise DataError(
            f"{path}: no such file; data.train_files names it for the training rows of task '{task.name}'. Write it "
            f"with python -m mtbert_ray.sample TOPICS.yaml --out {path}, or name another file"
        )
    return _read_file(task, path)


def _read_file(task: TaskSpec, path: Path, *, quoting: Quoting | None = None) -> Table:
    own = task.source if isinstance(task.source, TableSource) else None
    separator = separator_in(path, otherwise=None if own is None else own.separator)
    return _table_of(task, own, path, separator=separator, quoting=quoting)


def _read(task: TaskSpec, data: DataConfig, split: Split) -> Table | None:
    """Read the table of a split; None when there is no test data."""
    match task.source:
        case TableSource() as source:
            file = {"train": source.train, "dev": source.dev, "test": source.test}[split]
            if file is None:
                return None
            return _table_of(task, source, Path(file), separator=source.separator)
        case HubSource() as source:
            dev_split = source.dev_split or "validation"
            split_name = {"train": source.train_split, "dev": dev_split, "test": source.test_split}[split]
            return None if split_name is None else read_hub(source, task=task, split_name=split_name)
        case None:
            assert data.directory is not None, "a DataConfig checks that the course has a directory"
            return _read_course(task.name, Path(data.directory), split)


def _table_of(
    task: TaskSpec, source: TableSource | None, path: Path, *, separator: str | None, quoting: Quoting | None = None
) -> Table:
    """Read a file with the quoting and escapes of its task's source, unless `quoting` is given."""
    table = read_table(
        path,
        separator=separator,
        quoting=quoting or ("auto" if source is None else source.quoting),
        escapechar=None if source is None or quoting == "none" else source.escapechar,
        remedies=BY_FILE if source is None else BY_SOURCE,
    )
    what = "the course's format" if task.source is None else "source.columns"
    return replace(table, columns=columns_of(task), columns_from=f"{what} of task '{task.name}'")


def _read_course(task_name: str, directory: Path, split: Split) -> Table | None:
    """Read one file of the course; none when it is a test file that is not there."""
    file_name, columns = COURSE_FILES[task_name]
    path = directory / file_name.format(FILE_ENDINGS[split])
    if not path.exists():
        if split == "test":
            return None
        raise DataError(
            f"{path}: no such file; data.directory (or --data) must be the folder of the course's files, here with "
            f"{file_name.format('train')} and {file_name.format('dev')}"
        )
    table = read_table(path, separator=COURSE_SEPARATOR, remedies=BY_COURSE)
    columns_from = "the course's format; get the file anew, or give the task a source of its own"
    return replace(table, columns=columns, columns_from=columns_from)


def _require_known(task: TaskSpec) -> None:
    """Refuse a task that has the name of a known data set but declares other labels."""
    if task.source is not None:
        return
    known = KNOWN_TASKS[task.name]
    # Its metrics, weight and template are free.
    if (task.kind, task.num_classes, task.label_range) != (known.kind, known.num_classes, known.label_range):
        raise DataError(
            f"task '{task.name}': the data set known by this name is a {known.kind} with "
            f"{f'{known.num_classes} classes' if known.num_classes else f'labels {list(known.label_range or ())}'}, "
            f"but the task is declared otherwise; write just '{task.name}', or give the task a source"
        )
