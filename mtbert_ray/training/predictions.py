"""Prediction files of a checkpoint: for every task's dev and test rows, or for a user's own files; and their scores."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.checkpoint import parse_files, predictions_name
from mtbert_ray.data.examples import Examples
from mtbert_ray.data.sources import Split, load_examples, load_file
from mtbert_ray.errors import UserError
from mtbert_ray.files import make_folder
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.task_metrics import in_words
from mtbert_ray.task_source import Quoting
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.checkpoint import load_checkpoint
from mtbert_ray.training.evaluate import Predicted, predict, score_all
from mtbert_ray.training.inputs import encode
from mtbert_ray.training.prediction_files import (
    confusion_path,
    has_confusion,
    is_of_course,
    output_name,
    write_predictions,
)
from mtbert_ray.training.process import Process, local_process, uses_bf16
from mtbert_ray.training.scoring import Score, Scores, scores_of

Announce = Callable[[str], None]
"""Called with each part of the work before it is done, which can take minutes."""


@dataclass(frozen=True, kw_only=True)
class PredictionRequest:
    """The arguments of `python -m mtbert_ray.predict`."""

    checkpoint: Path
    data: Path | None = None
    """Folder of the course's files, in place of the data that the checkpoint was trained on."""
    files: tuple[str, ...] = ()
    """`TASK=PATH` texts; with any, only these are predicted."""
    out: Path | None = None
    """Folder for the predictions; none takes `predictions` next to the checkpoint."""
    with_text: bool = False
    """Whether plain CSV has the sentences too."""
    quoting: Quoting | None = None
    """How quotes in `files` are read; none as in each task's source."""


def predict_checkpoint(request: PredictionRequest, *, announce: Announce) -> list[str]:
    """Write the predictions and return a report of them, one line per file or score.

    Warns:
        UserWarning: `data`, `quoting` or `with_text` has no effect.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        ConfigError: mistakes in `files`, all of them at once.
        UserError: as for `predict_all` and `predict_files`.
    """
    model, config = load_checkpoint(request.checkpoint)
    folder = request.out or request.checkpoint.parent / "predictions"
    process = local_process(config.resources)
    with_text = request.with_text
    if with_text and all(map(is_of_course, config.tasks)):
        warnings.warn("--with-text has no effect: the course's format has no place for texts", stacklevel=2)
    if request.files:
        if request.data is not None:
            warnings.warn("--data has no effect: --file names the rows", stacklevel=2)
        files, quoting = parse_files(request.files, config), request.quoting
        done = predict_files(
            model, config, files, folder, process=process, with_text=with_text, quoting=quoting, announce=announce
        )
        return [line for each in done for line in lines_of(each)]
    if request.quoting is not None:
        warnings.warn("--quoting has no effect without --file", stacklevel=2)
    if request.data is not None:
        if all(task.source is not None for task in config.tasks):
            why = "every task of this checkpoint has a source of its own"
            warnings.warn(f"--data has no effect: {why}", stacklevel=2)
        config = config.model_copy(update={"data": config.data.on_course_files(request.data)})
    written = predict_all(model, config, folder, process=process, with_text=with_text, announce=announce)
    known = ", ".join(f"{name} {value:.4f}" for name, value in written.scores.values.items() if value is not None)
    return [*map(str, written.files), *filter(None, [known]), *in_words(written.scores.undefined)]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The files that were written, and the scores of the dev predictions."""

    files: tuple[Path, ...]
    scores: Scores
    """Over the dev rows that have a label."""


def predict_all(
    model: MultitaskModel,
    config: TrialConfig,
    folder: Path,
    *,
    process: Process,
    with_text: bool = False,
    announce: Announce = lambda text: None,
) -> Predictions:
    """Predict every task's dev and test rows and write one file each, and the confusion tables.

    The files are in `folder`, as sst-dev-output.csv. Row limits of the config's data are lifted. Each task's split is
    announced before it is predicted.

    Raises:
        DataError: a file cannot be read as its task needs it.
        UserError: the folder cannot be made.
    """
    unlimited = config.data.model_copy(update={"max_train_rows": None, "max_dev_rows": None})
    config = config.model_copy(update={"data": unlimited})
    predicted_by = _predictor(model, config, process)
    make_folder(folder, f"--out {folder}")
    files: list[Path] = []
    scored: dict[str, dict[str, Score]] = {}
    splits: tuple[Split, ...] = ("dev", "test")
    for split in splits:
        # The rows of every task are read before any is predicted.
        read = [
            (task, examples)
            for task in config.tasks
            if (examples := load_examples(task, config.data, split, seed=config.seed, every_row=True)) is not None
        ]
        for task, examples in read:
            if note := examples.rows_read.note():
                announce(f"{task.name} {split}: {note}")
        for task, examples in read:
            announce(f"predicting {task.name} {split}: {len(examples)} rows")
            predicted = predicted_by(task, examples)
            path = folder / output_name(task, split)
            files += write_predictions(path, task, examples, predicted, with_text=with_text)
            if examples.labels is not None:
                scored[task.name] = score_all(task, predicted, examples.labels)
    return Predictions(files=tuple(files), scores=scores_of(config.tasks, scored))


def _predictor(
    model: MultitaskModel, config: TrialConfig, process: Process
) -> Callable[[TaskSpec, Examples], Predicted]:
    """Return what predicts examples of a task."""
    model = model.to(process.device)
    bf16 = uses_bf16(config, process.device)
    tokenizer = load_tokenizer(config.encoder)
    return lambda task, examples: predict(
        model, task, encode(examples, config, tokenizer, task=task), process, bf16=bf16
    )


@dataclass(frozen=True, kw_only=True)
class FilePredictions:
    """The predictions for one of a user's files."""

    file: Path
    written: Path
    confusion: Path | None
    """None for a file without labels, a regression, or a task of the course."""
    num_rows: int
    """All of the file's."""
    num_scored: int
    """Rows with a label."""
    note: str | None
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
    announce: Announce = lambda text: None,
) -> list[FilePredictions]:
    """Predict a user's files, each with its task's own columns, and score those that have labels.

    All files are read before any is predicted; no two may have predictions of one name, as sst-STEM-predictions.csv.
    Without `quoting` their quotes are read as in each task's source.

    Raises:
        DataError: a file cannot be read as its task needs it.
        UserError: predictions of that name exist already, or the folder cannot be made.
    """
    _refuse_overwriting(files, folder)
    read = [(task, path, load_file(task, path, quoting=quoting)) for task, path in files]
    make_folder(folder, f"--out {folder}")
    predicted_by = _predictor(model, config, process)
    done: list[FilePredictions] = []
    for task, path, examples in read:
        announce(f"predicting {path}: {len(examples)} rows")
        predicted, labels = predicted_by(task, examples), examples.labels
        target = folder / predictions_name(task, path)
        written = write_predictions(target, task, examples, predicted, with_text=with_text)
        done.append(
            FilePredictions(
                file=path,
                written=written[0],
                confusion=written[1] if len(written) > 1 else None,
                num_rows=len(examples),
                num_scored=0 if labels is None else int((~np.isnan(labels)).sum()),
                note=examples.rows_read.note(),
                scores={} if labels is None else score_all(task, predicted, labels),
            )
        )
    return done


def _refuse_overwriting(files: Sequence[tuple[TaskSpec, Path]], folder: Path) -> None:
    """Refuse files whose predictions exist: another file of that name, in another folder, may have given them."""
    for task, path in files:
        predictions = folder / predictions_name(task, path)
        # A confusion table of other rows would stand next to the predictions of a file without labels.
        for target in (predictions, confusion_path(predictions)) if has_confusion(task) else (predictions,):
            if target.exists():
                raise UserError(
                    f"--file {task.name}={path}: {target} is there already; give another --out, or delete it"
                )


def lines_of(done: FilePredictions) -> list[str]:
    """Return the report of one file's predictions: the paths, the scores, and the note."""
    lines = [str(path) for path in (done.written, done.confusion) if path is not None]
    if done.scores:
        rows = f"{done.num_rows} rows" if done.num_scored == done.num_rows else f"{done.num_scored} rows with a label"
        scores = [
            f"no {metric}: {each.reason}" if each.value is None else f"{metric} {each.value:.4f}"
            for metric, each in done.scores.items()
        ]
        lines.append(f"{done.file}: {', '.join(scores)} ({rows})")
    return lines if done.note is None else [*lines, f"{done.file}: {done.note}"]
