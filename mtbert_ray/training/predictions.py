"""Prediction files in the course's format, for dev and test or for files of the user's, and the scores they get."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.sources import Split, load_file
from mtbert_ray.errors import ConfigError, UserError, did_you_mean
from mtbert_ray.metrics import task_scores
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.tasks import TaskKind, TaskSpec
from mtbert_ray.training.evaluate import FloatArray, predict, score
from mtbert_ray.training.inputs import encode, load_inputs
from mtbert_ray.training.loop import uses_bf16
from mtbert_ray.training.process import Process

# The course's own names and headers, its spelling included; other tasks follow the same pattern.
_FILE_STEMS = {"quora": "para"}
_HEADERS = {"sst": "Predicted_Sentiment", "quora": "Predicted_Is_Duplicate", "sts": "Predicted_Similiary"}


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What was written, and what the dev predictions score."""

    files: tuple[Path, ...]
    scores: dict[str, float]
    """Each task's dev score, dev_score and leaderboard_score."""


def predict_all(
    model: MultitaskModel,
    config: TrialConfig,
    folder: Path,
    *,
    process: Process,
    announce: Callable[[str], None] = lambda text: None,
) -> Predictions:
    """Predict every task's dev and test rows and write one file each.

    Args:
        model: as loaded from a checkpoint.
        config: its configuration, with the data to predict; row limits are lifted.
        folder: for the files, as sst-dev-output.csv.
        process: a run of one process.
        announce: told of each task's split before it is predicted, which can take minutes.

    Raises:
        DataError: a file cannot be read as its task needs it.
        UserError: the folder cannot be made.
    """
    unlimited = config.data.model_copy(update={"max_train_rows": None, "max_dev_rows": None})
    config = config.model_copy(update={"data": unlimited})
    model = model.to(process.device)
    bf16 = uses_bf16(config, process.device)
    tasks = {task.name: task for task in config.tasks}
    _make(folder)
    files: list[Path] = []
    scores: dict[str, float] = {}
    splits: tuple[Split, ...] = ("dev", "test")
    for split in splits:
        for name, rows in load_inputs(config, split).items():
            announce(f"predicting {name} {split}: {len(rows)} rows")
            predictions = predict(model, name, rows, process, bf16=bf16)
            files.append(folder / f"{_FILE_STEMS.get(name, name)}-{split}-output.csv")
            write_predictions(files[-1], tasks[name], rows.ids, predictions)
            if rows.labels is not None:
                scores[name] = score(tasks[name], predictions, rows.labels.numpy().astype(np.float64))
    return Predictions(files=tuple(files), scores=task_scores(config.tasks, scores))


@dataclass(frozen=True, kw_only=True)
class FilePredictions:
    """What was written for one file of the user's."""

    file: Path
    written: Path
    num_rows: int
    num_unlabelled: int
    """Rows left out because they alone have no label."""
    metric: str
    score: float | None
    """None for a file without labels."""

    def lines(self) -> list[str]:
        """Return what to tell of it."""
        if self.score is None:
            return [str(self.written)]
        left_out = f", {self.num_unlabelled} more have no label" if self.num_unlabelled else ""
        return [str(self.written), f"{self.file}: {self.metric} {self.score:.4f} ({self.num_rows} rows{left_out})"]


def parse_files(texts: Sequence[str], config: TrialConfig) -> list[tuple[TaskSpec, Path]]:
    """Split each `TASK=PATH`, as --file takes it.

    Raises:
        ConfigError: no `=`, a task that is not the checkpoint's, or two files whose predictions would have one name.
    """
    tasks = {task.name: task for task in config.tasks}
    files: list[tuple[TaskSpec, Path]] = []
    problems: list[str] = []
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not path:
            problems.append(f"--file {text}: expected TASK=PATH, as {next(iter(tasks))}=rows.csv")
        elif name not in tasks:
            problems.append(f"--file {text}: no task '{name}'{did_you_mean(name, tasks)} ({', '.join(tasks)})")
        else:
            files.append((tasks[name], Path(path)))
    names = [_file_name(task, path) for task, path in files]
    problems += [
        f"--file: the predictions of two files would both be {name}; rename one, or predict them apart"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise ConfigError(problems)
    return files


def predict_files(
    model: MultitaskModel,
    config: TrialConfig,
    files: Sequence[tuple[TaskSpec, Path]],
    folder: Path,
    *,
    process: Process,
    announce: Callable[[str], None] = lambda text: None,
) -> list[FilePredictions]:
    """Predict files of the user's, each with its task's own columns, and score those that have labels.

    All files are read before any is predicted.

    Args:
        model: as loaded from a checkpoint.
        config: its configuration.
        files: each with its task.
        folder: for the predictions, as sst-STEM-output.csv.
        process: a run of one process.
        announce: told of each file before it is predicted, which can take minutes.

    Raises:
        DataError: a file cannot be read as its task needs it.
        UserError: the folder cannot be made.
    """
    read = [(task, path, load_file(task, path)) for task, path in files]
    _make(folder)
    model = model.to(process.device)
    bf16 = uses_bf16(config, process.device)
    tokenizer = load_tokenizer(config.encoder)
    done: list[FilePredictions] = []
    for task, path, examples in read:
        announce(f"predicting {path}: {len(examples)} rows")
        predictions = predict(model, task.name, encode(examples, config, tokenizer), process, bf16=bf16)
        written = folder / _file_name(task, path)
        write_predictions(written, task, examples.ids, predictions)
        done.append(
            FilePredictions(
                file=path,
                written=written,
                num_rows=len(examples),
                num_unlabelled=examples.num_unlabelled,
                metric=task.kind.metric,
                score=None if examples.labels is None else score(task, predictions, examples.labels),
            )
        )
    return done


def _file_name(task: TaskSpec, path: Path) -> str:
    return f"{task.name}-{path.stem}-output.csv"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {folder}: no folder can be made there: {error}") from error


def write_predictions(path: Path, task: TaskSpec, ids: Sequence[str], predictions: FloatArray) -> None:
    """Write one file: a header, then `id , prediction` a row.

    Args:
        path: the file.
        task: decides the header, and whether predictions are classes or numbers.
        ids: (N,) as in the data.
        predictions: (N,)
    """
    is_number = task.kind is TaskKind.PAIR_REGRESSION
    lines = [f"id \t {_HEADERS.get(task.name, f'Predicted_{task.name}')} \n"]
    for row_id, prediction in zip(ids, predictions, strict=True):
        value = float(prediction) if is_number else int(prediction)
        lines.append(f"{row_id} , {value} \n")
    path.write_text("".join(lines), encoding="utf-8")
