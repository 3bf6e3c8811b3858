"""A checkpoint's model as an object, for notebooks and other programs: texts in, a DataFrame of predictions out.

Reads no data files and writes nothing; what rows may look like is `given_rows.py`'s.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import DataError, UserError, did_you_mean
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.checkpoint import load_checkpoint
from mtbert_ray.training.evaluate import predict
from mtbert_ray.training.given_rows import GivenRows, Rows, rows_of
from mtbert_ray.training.inputs import encode
from mtbert_ray.training.loop import uses_bf16
from mtbert_ray.training.prediction_files import empty_prediction_table, prediction_table
from mtbert_ray.training.process import Process

MAX_TOKENS = 8192
"""Of a batch, as in scoring."""


def load(checkpoint: str | Path, *, device: str | torch.device | None = None) -> "LoadedModel":
    """Return the model of a checkpoint, ready to predict. PyTorch's random state and threads stay as they are.

    Args:
        checkpoint: folder as reports/NAME/trials/ID/checkpoint.
        device: where it predicts, as "cpu" or "cuda"; none takes the first GPU if there is one.

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

    Args:
        model: as loaded; is set to eval mode.
        config: what it was built from.
        device: where it predicts.
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
            rows: of each task by its name. For a task of one sentence texts, in a list, Series, or DataFrame with the
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
        return {name: self._table(self.tasks[name], each, where, max_tokens) for name, each in given.items()}

    def __repr__(self) -> str:
        """Return the tasks, with kinds and classes."""
        tasks = [
            f"{task.name}: {task.kind}" + ("" if task.kind.is_regression else f" ({', '.join(task.class_names)})")
            for task in self.config.tasks
        ]
        return f"LoadedModel({'; '.join(tasks)}; on {self._device})"

    def _given(self, rows: Mapping[str, Rows]) -> dict[str, GivenRows]:
        first = self.config.tasks[0].name
        if not isinstance(rows, Mapping):
            raise DataError(
                f"rows must be given by task, as {{'{first}': [...]}}, got a {type(rows).__name__}; "
                f"the tasks are {', '.join(self.tasks)}"
            )
        problems: list[str] = []
        given: dict[str, GivenRows] = {}
        for name, each in rows.items():
            if name not in self.tasks:
                near = did_you_mean(name, self.tasks)
                problems.append(f"no task {name!r}{near} ({', '.join(self.tasks)})")
                continue
            try:
                given[name] = rows_of(self.tasks[name], each)
            except DataError as error:
                problems.append(str(error))
        if problems:
            raise DataError("\n".join(problems))
        return given

    def _table(self, task: TaskSpec, given: GivenRows, device: torch.device, max_tokens: int) -> pd.DataFrame:
        if not len(given.examples):
            return empty_prediction_table(task, given.index)
        split = encode(given.examples, self.config, self._tokenizer, task=task, keep=False)
        bf16 = uses_bf16(self.config, device)
        answers = predict(self._model, task, split, Process(device=device), bf16=bf16, max_tokens=max_tokens)
        return prediction_table(task, answers, given.index)


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
