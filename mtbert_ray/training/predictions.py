"""Prediction files of every task's dev and test rows in the course's format, and the scores they get."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.sources import Split
from mtbert_ray.files import make_folder
from mtbert_ray.metrics import task_scores
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.evaluate import FloatArray, predict, score
from mtbert_ray.training.inputs import load_inputs, said_of
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
    """Each task's dev score over the rows that have a label, and, unless a task has no such row, dev_score and
    leaderboard_score."""


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
    make_folder(folder, f"--out {folder}")
    files: list[Path] = []
    scores: dict[str, float] = {}
    splits: tuple[Split, ...] = ("dev", "test")
    for split in splits:
        inputs = load_inputs(config, split, every_row=True)
        for line in said_of(inputs, split):
            announce(line)
        for name, rows in inputs.items():
            announce(f"predicting {name} {split}: {len(rows)} rows")
            predictions = predict(model, tasks[name], rows, process, bf16=bf16).values
            files.append(folder / f"{_FILE_STEMS.get(name, name)}-{split}-output.csv")
            write_predictions(files[-1], tasks[name], rows.ids, predictions)
            if rows.labels is not None:
                labels = rows.labels.numpy().astype(np.float64)
                labelled = ~np.isnan(labels)
                if labelled.any():
                    scores[name] = score(tasks[name], predictions[labelled], labels[labelled])
    if len(scores) == len(tasks):
        scores = task_scores(config.tasks, scores)
    return Predictions(files=tuple(files), scores=scores)


def write_predictions(path: Path, task: TaskSpec, ids: Sequence[str], predictions: FloatArray) -> None:
    """Write one file: a header, then `id , prediction` a row.

    Args:
        path: the file.
        task: decides the header, and whether predictions are classes or numbers.
        ids: (N,) as in the data.
        predictions: (N,)
    """
    is_number = task.kind.is_regression
    lines = [f"id \t {_HEADERS.get(task.name, f'Predicted_{task.name}')} \n"]
    for row_id, prediction in zip(ids, predictions, strict=True):
        value = float(prediction) if is_number else int(prediction)
        lines.append(f"{row_id} , {value} \n")
    path.write_text("".join(lines), encoding="utf-8")
