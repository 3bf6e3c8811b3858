"""From what a program hands over as the rows of a task to Examples: lists, pandas objects, pairs; and what is wrong."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.checkpoint import predictions_name
from mtbert_ray.data.examples import Examples, RowsRead
from mtbert_ray.data.sources import columns_of, load_file
from mtbert_ray.data.table import ROWS_SHOWN
from mtbert_ray.errors import DataError, UserError, did_you_mean
from mtbert_ray.files import make_folder
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.task_source import Quoting
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.evaluate import Predicted, predict, score_all
from mtbert_ray.training.inputs import encode
from mtbert_ray.training.loop import uses_bf16
from mtbert_ray.training.prediction_files import confusion_path, has_confusion, write_predictions
from mtbert_ray.training.process import Process
from mtbert_ray.training.scoring import Score

Rows = Iterable[str] | Iterable[tuple[str, str]] | pd.DataFrame
"""Texts; or, for pairs, (first, second) tuples; or a table with the task's columns."""
_EXAMPLE = {False: '["a text", ...]', True: '[("a text", "another"), ...]'}
"""By whether the task takes pairs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenRows:
    """The rows of one task."""

    examples: Examples
    """N rows without labels."""
    index: pd.Index
    """(N,): that of a pandas input, else 0 to N - 1."""


def rows_of(task: TaskSpec, rows: Rows) -> GivenRows:
    """Check rows against their task.

    Raises:
        DataError: they are not as the task needs them.
    """
    index = rows.index if isinstance(rows, pd.DataFrame | pd.Series) else None
    listed = _of_frame(task, rows) if isinstance(rows, pd.DataFrame) else _listed(task, rows)
    columns = _pair_columns(task, listed) if task.kind.is_pair else [_single_column(task, listed)]
    examples = Examples(
        ids=[str(number) for number in range(len(listed))],
        sentence1=columns[0],
        sentence2=columns[1] if len(columns) > 1 else None,
        labels=None,
        rows_read=RowsRead(num_rows=len(listed)),
        origin=task.name,
    )
    return GivenRows(examples=examples, index=pd.RangeIndex(len(listed)) if index is None else index)


def _of_frame(task: TaskSpec, frame: pd.DataFrame) -> list[Any]:
    """Return the task's column, or two as pairs: by the task's own names, or as they stand when there is no other."""
    names = columns_of(task)
    wanted = [name for name in (names.sentence1, names.sentence2 if task.kind.is_pair else None) if name is not None]
    there = list(frame.columns)
    if missing := [name for name in wanted if there.count(name) != 1]:
        # By their places only where no name is the task's: else a label or the other sentence could be taken for one.
        if len(there) != len(wanted) or any(name in there for name in (*wanted, names.label, names.id)):
            raise DataError(
                f"{task.name}: the DataFrame needs the column{'s' if len(wanted) > 1 else ''} {', '.join(wanted)}, "
                f"and has {', '.join(map(str, there)) or 'none'}{did_you_mean(missing[0], map(str, there))}"
            )
        parts = [frame.iloc[:, place].tolist() for place in range(len(wanted))]
    else:
        parts = [frame[name].tolist() for name in wanted]
    return list(zip(*parts, strict=True)) if task.kind.is_pair else parts[0]


def _listed(task: TaskSpec, rows: object) -> list[Any]:
    # A text is an iterable of texts too, and a set or a mapping has no order to match predictions with.
    if isinstance(rows, str | bytes | Mapping | Set) or not isinstance(rows, Iterable):
        kind = "a single text" if isinstance(rows, str) else f"a {type(rows).__name__}"
        raise DataError(f"{task.name}: expected a list, as {_EXAMPLE[task.kind.is_pair]}, got {kind}")
    return list(rows)


def _single_column(task: TaskSpec, rows: Sequence[Any]) -> list[str]:
    return [str(text) for text in _checked(task, rows, lambda row: _problem_with_text(row, example=_EXAMPLE[False]))]


def _pair_columns(task: TaskSpec, rows: Sequence[Any]) -> list[list[str]]:
    pairs = _checked(task, rows, _problem_with_pair)
    return [[str(pair[place]) for pair in pairs] for place in (0, 1)]


def _checked(task: TaskSpec, rows: Sequence[Any], problem_with: Callable[[object], str | None]) -> Sequence[Any]:
    problems = [f"{task.name}[{n}] {problem}" for n, row in enumerate(rows) if (problem := problem_with(row))]
    if not problems:
        return rows
    more = len(problems) - ROWS_SHOWN
    raise DataError("\n".join(problems[:ROWS_SHOWN] + [f"{task.name}: {more} more such rows"] * (more > 0)))


def _problem_with_text(value: object, *, example: str) -> str | None:
    if isinstance(value, str):
        return None if _is_unicode(value) else f"has half a surrogate pair, which is no character: {_short(value)}"
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return f"has no text ({value!r}); give '' for an empty one, or leave the row out"
    if _is_sequence(value):
        return f"is a {type(value).__name__} {_short(value)}, but the task takes one sentence; give {example}"
    return f"is no text but a {type(value).__name__} ({_short(value)}); give {example}"


def _problem_with_pair(row: object) -> str | None:
    example = _EXAMPLE[True]
    if not _is_sequence(row):
        return f"is a {type(row).__name__} ({_short(row)}), but the task takes pairs; give {example}"
    assert isinstance(row, Sequence | np.ndarray)
    if len(row) != 2:
        return f"has {len(row)} texts {_short(row)}, a pair has two; give {example}"
    problems = (_problem_with_text(text, example=example) for text in row)
    return next((problem for problem in problems if problem), None)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_sequence(value: object) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True, kw_only=True)
class FilePredictions:
    """What was written for one file of the user's."""

    file: Path
    written: Path
    confusion: Path | None
    """None for a file without labels, a regression, or a task of the course."""
    num_rows: int
    """All of the file's."""
    num_scored: int
    """Rows with a label."""
    said: str | None
    """What else a user should know of the rows, as `12 rows; 1 with an empty text (row 3)`."""
    scores: Mapping[str, Score]
    """Metric -> score over the rows that have a label, the task's own first; empty for a file without labels."""


def predict_files(
    model: MultitaskModel,
    config: TrialConfig,
    files: Sequence[tuple[TaskSpec, Path]],
    folder: Path,
    *,
    process: Process,
    with_text: bool = False,
    quoting: Quoting | None = None,
    announce: Callable[[str], None] = lambda text: None,
) -> list[FilePredictions]:
    """Predict files of the user's, each with its task's own columns, and score those that have labels.

    All files are read before any is predicted.

    Args:
        model: as loaded from a checkpoint.
        config: its configuration.
        files: each with its task; no two may have predictions of one name.
        folder: for the predictions, as sst-STEM-predictions.csv.
        process: a run of one process.
        with_text: whether plain CSV holds the sentences too.
        quoting: how quotes in the files are read; none as in each task's source.
        announce: told of each file before it is predicted, which can take minutes.

    Raises:
        DataError: a file cannot be read as its task needs it.
        UserError: predictions of that name are there already, or the folder cannot be made.
    """
    _refuse_overwriting(files, folder)
    read = [(task, path, load_file(task, path, quoting=quoting)) for task, path in files]
    make_folder(folder, f"--out {folder}")
    model = model.to(process.device)
    bf16 = uses_bf16(config, process.device)
    tokenizer = load_tokenizer(config.encoder)
    done: list[FilePredictions] = []
    for task, path, examples in read:
        announce(f"predicting {path}: {len(examples)} rows")
        split = encode(examples, config, tokenizer, task=task)
        predicted = predict(model, task, split, process, bf16=bf16)
        target = folder / predictions_name(task, path)
        written = write_predictions(target, task, examples, predicted, with_text=with_text)
        done.append(_about(task, path, examples, predicted, written))
    return done


def _refuse_overwriting(files: Sequence[tuple[TaskSpec, Path]], folder: Path) -> None:
    """Another file of the same name, in another folder, may have been predicted before."""
    for task, path in files:
        predictions = folder / predictions_name(task, path)
        # A confusion table of other rows would stand beside the predictions of a file without labels.
        for target in (predictions, confusion_path(predictions)) if has_confusion(task) else (predictions,):
            if target.exists():
                raise UserError(
                    f"--file {task.name}={path}: {target} is there already; give another --out, or delete it"
                )


def _about(
    task: TaskSpec, path: Path, examples: Examples, predicted: Predicted, written: list[Path]
) -> FilePredictions:
    labeled = np.zeros(len(examples), dtype=bool) if examples.labels is None else ~np.isnan(examples.labels)
    return FilePredictions(
        file=path,
        written=written[0],
        confusion=written[1] if len(written) > 1 else None,
        num_rows=len(examples),
        num_scored=int(labeled.sum()),
        said=examples.rows_read.note(),
        scores={} if examples.labels is None else score_all(task, predicted, examples.labels),
    )
