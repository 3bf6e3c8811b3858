"""A checkpoint's model as an object, for notebooks and other programs: texts in, a DataFrame of predictions out."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.examples import Examples, RowsRead
from mtbert_ray.data.sources import columns_of
from mtbert_ray.data.table import ROWS_SHOWN
from mtbert_ray.errors import DataError, UserError, did_you_mean
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.checkpoint import load_checkpoint
from mtbert_ray.training.evaluate import Predicted, predict
from mtbert_ray.training.inputs import encode
from mtbert_ray.training.prediction_files import prediction_columns
from mtbert_ray.training.process import Process, uses_bf16

MAX_TOKENS = 8192
"""Of a batch, as in evaluation."""
Rows = Iterable[str] | Iterable[tuple[str, str]] | pd.DataFrame
"""Texts; or, for pairs, (first, second) tuples; or a table with the task's columns."""
_EXAMPLE = {False: '["a text", ...]', True: '[("a text", "another"), ...]'}
"""By whether the task takes pairs."""


def load(checkpoint: str | Path, *, device: str | torch.device | None = None) -> "LoadedModel":
    """Return the model of a checkpoint, ready to predict. PyTorch's random state and threads stay as they are.

    The checkpoint is a folder as reports/NAME/trials/ID/checkpoint. The device is "cpu" or "cuda", say; none takes the
    first GPU if there is one.

    Raises:
        CheckpointError: something is missing, damaged, or belongs to another encoder.
        EncoderError: the encoder that it was made from cannot be found.
        UserError: there is no such device.
    """
    chosen = _device(device)
    model, config = load_checkpoint(Path(checkpoint).expanduser())
    return LoadedModel(model, config, device=chosen)


class LoadedModel:
    """A trained encoder and its task heads.

    The model is set to eval mode.
    """

    def __init__(self, model: MultitaskModel, config: TrialConfig, *, device: torch.device) -> None:
        self.config = config
        self._model = model.eval()
        self._device = device
        self._tokenizer = load_tokenizer(config.encoder)

    @property
    def tasks(self) -> dict[str, TaskSpec]:
        """The tasks by name: of each its `kind`, `class_names`, `label_range`, and what else it was declared with."""
        return {task.name: task for task in self.config.tasks}

    def predict(
        self,
        rows: Mapping[str, Rows],
        *,
        device: str | torch.device | None = None,
        max_tokens: int = MAX_TOKENS,
    ) -> dict[str, pd.DataFrame]:
        """Return the predictions of each task: a row for each row, in their order, with the index of a pandas input.

        A table has the columns `prediction` (the class by its name, or by its number where classes have no names; or
        the number of a regression) and, for each class, `probability_CLASS`. Texts are put into the task's template
        and cut as in training. The result does not depend on how rows are batched, up to rounding.

        Args:
            rows: by the name of the task. For a task of one sentence texts, in a list, Series, or DataFrame with the
                task's column. For a task of pairs (first, second) tuples in a list, or a DataFrame with both columns.
                A text may be empty, but none may be missing.
            device: in place of the model's own.
            max_tokens: bounds the padded tokens of a batch, and so the memory.

        Raises:
            DataError: rows that are not as the tasks need them; all that is wrong at once.
            UserError: there is no such device, or max_tokens is not positive.
        """
        if max_tokens < 1:
            raise UserError(f"max_tokens {max_tokens} must be at least 1; {MAX_TOKENS} is the default")
        given = self._given(rows)
        where = self._device if device is None else _device(device)
        self._model.to(where)
        return {name: self._table(self.tasks[name], *each, where, max_tokens) for name, each in given.items()}

    def __repr__(self) -> str:
        """Return the tasks, with kinds and classes."""
        tasks = [
            f"{task.name}: {task.kind}" + ("" if task.kind.is_regression else f" ({', '.join(task.class_names)})")
            for task in self.config.tasks
        ]
        return f"LoadedModel({'; '.join(tasks)}; on {self._device})"

    def _given(self, rows: Mapping[str, Rows]) -> dict[str, tuple[Examples, pd.Index]]:
        first = self.config.tasks[0].name
        if not isinstance(rows, Mapping):
            raise DataError(
                f"rows must be given by task, as {{'{first}': [...]}}, got a {type(rows).__name__}; "
                f"the tasks are {', '.join(self.tasks)}"
            )
        problems: list[str] = []
        given: dict[str, tuple[Examples, pd.Index]] = {}
        for name, each in rows.items():
            if name not in self.tasks:
                near = did_you_mean(name, self.tasks)
                problems.append(f"no task {name!r}{near} ({', '.join(self.tasks)})")
                continue
            try:
                given[name] = _examples_of(self.tasks[name], each)
            except DataError as error:
                problems.append(str(error))
        if problems:
            raise DataError("\n".join(problems))
        return given

    def _table(
        self, task: TaskSpec, examples: Examples, index: pd.Index, device: torch.device, max_tokens: int
    ) -> pd.DataFrame:
        if not len(examples):
            # The columns of a placeholder row have the right types.
            nothing = Predicted(values=np.zeros(1), probabilities=np.zeros((1, task.num_classes or 0)))
            return pd.DataFrame(prediction_columns(task, nothing)).iloc[:0].set_axis(index)
        split = encode(examples, self.config, self._tokenizer, task=task, keep=False)
        bf16 = uses_bf16(self.config, device)
        predicted = predict(self._model, task, split, Process(device=device), bf16=bf16, max_tokens=max_tokens)
        return pd.DataFrame(prediction_columns(task, predicted), index=index)


def _device(asked: str | torch.device | None) -> torch.device:
    if asked is None:
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(asked)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"device {asked!r} is not known; give 'cpu', 'cuda' or, as 'cuda:1', one of several") from error
    if device.type == "cpu":
        return device
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type != "cuda" or (device.index or 0) >= num_gpus:
        there = f"'cuda:0' to 'cuda:{num_gpus - 1}'" if num_gpus > 1 else "'cuda'"
        allowed = f"'cpu' or {there}" if num_gpus else "'cpu', for PyTorch finds no GPU here"
        raise UserError(f"device '{device}' is not there; give {allowed}")
    return torch.device("cuda", device.index or 0)


def _examples_of(task: TaskSpec, rows: Rows) -> tuple[Examples, pd.Index]:
    """Return N rows as examples without labels, and their index: that of a pandas input, else 0 to N - 1.

    Raises:
        DataError: they are not as the task needs them.
    """
    index = rows.index if isinstance(rows, pd.DataFrame | pd.Series) else None
    listed = _of_frame(task, rows) if isinstance(rows, pd.DataFrame) else _listed(task, rows)
    _check(task, listed, _problem_with_pair if task.kind.is_pair else _problem_with_text)
    # A text may be of a subclass of str, as numpy's.
    columns = (
        [[str(pair[place]) for pair in listed] for place in (0, 1)] if task.kind.is_pair else [[*map(str, listed)]]
    )
    examples = Examples(
        ids=[str(number) for number in range(len(listed))],
        sentence1=columns[0],
        sentence2=columns[1] if len(columns) > 1 else None,
        labels=None,
        rows_read=RowsRead(num_rows=len(listed)),
        origin=task.name,
    )
    return examples, pd.RangeIndex(len(listed)) if index is None else index


def _of_frame(task: TaskSpec, frame: pd.DataFrame) -> list[Any]:
    """Return the task's column, or two as pairs: by the task's own names, or by position if there are no others."""
    names = columns_of(task)
    wanted = [name for name in (names.sentence1, names.sentence2 if task.kind.is_pair else None) if name is not None]
    there = list(frame.columns)
    if missing := [name for name in wanted if there.count(name) != 1]:
        # By position only where no name is the task's: else a label or the other sentence could be mistaken for one.
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


def _check(task: TaskSpec, rows: Sequence[Any], problem_with: Callable[[object], str | None]) -> None:
    problems = [f"{task.name}[{n}] {problem}" for n, row in enumerate(rows) if (problem := problem_with(row))]
    if problems:
        more = len(problems) - ROWS_SHOWN
        raise DataError("\n".join(problems[:ROWS_SHOWN] + [f"{task.name}: {more} more such rows"] * (more > 0)))


def _problem_with_text(value: object, *, example: str = _EXAMPLE[False]) -> str | None:
    if isinstance(value, str):
        lone_surrogate = re.search("[\ud800-\udfff]", value)
        return f"has half a surrogate pair, which is no character: {_short(value)}" if lone_surrogate else None
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


def _is_sequence(value: object) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
