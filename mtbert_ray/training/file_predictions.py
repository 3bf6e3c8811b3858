"""Predictions for files of the user's: in the format of those for dev and test, under names that these never have."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.examples import Examples
from mtbert_ray.data.sources import load_file
from mtbert_ray.errors import UserError
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


def predictions_name(task: TaskSpec, path: Path) -> str:
    """Return the name of the predictions for a file; those for dev and test end in -output.csv."""
    return f"{task.name}-{path.stem}-predictions.csv"


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
    labelled = np.zeros(len(examples), dtype=bool) if examples.labels is None else ~np.isnan(examples.labels)
    return FilePredictions(
        file=path,
        written=written[0],
        confusion=written[1] if len(written) > 1 else None,
        num_rows=len(examples),
        num_scored=int(labelled.sum()),
        said=examples.rows_read.said(),
        scores={} if examples.labels is None else score_all(task, predicted, examples.labels),
    )
