"""Prediction files of every task's dev and test rows, and the scores they get."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.checkpoint import parse_files
from mtbert_ray.data.examples import Examples
from mtbert_ray.data.sources import Split, load_examples
from mtbert_ray.files import make_folder
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.task_metrics import in_words
from mtbert_ray.task_source import Quoting
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.checkpoint import load_checkpoint
from mtbert_ray.training.evaluate import predict, score_all
from mtbert_ray.training.given_rows import FilePredictions, predict_files
from mtbert_ray.training.inputs import encode
from mtbert_ray.training.loop import uses_bf16
from mtbert_ray.training.prediction_files import is_of_course, output_name, write_predictions
from mtbert_ray.training.process import Process, local_process
from mtbert_ray.training.scoring import Score, Scores, scores_of


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What was written, and what the dev predictions score."""

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
    announce: Callable[[str], None] = lambda text: None,
) -> Predictions:
    """Predict every task's dev and test rows and write one file each, and the confusion tables.

    Args:
        model: as loaded from a checkpoint.
        config: its configuration, with the data to predict; row limits are lifted.
        folder: for the files, as sst-dev-output.csv.
        process: a run of one process.
        with_text: whether plain CSV holds the sentences too.
        announce: told of each task's split before it is predicted, which can take minutes.

    Raises:
        DataError: a file cannot be read as its task needs it.
        UserError: the folder cannot be made.
    """
    unlimited = config.data.model_copy(update={"max_train_rows": None, "max_dev_rows": None})
    config = config.model_copy(update={"data": unlimited})
    model = model.to(process.device)
    bf16 = uses_bf16(config, process.device)
    tokenizer = load_tokenizer(config.encoder)
    make_folder(folder, f"--out {folder}")
    files: list[Path] = []
    scored: dict[str, dict[str, Score]] = {}
    splits: tuple[Split, ...] = ("dev", "test")
    for split in splits:
        read = _read(config, split)
        for task, examples in read:
            if said := examples.rows_read.note():
                announce(f"{task.name} {split}: {said}")
        for task, examples in read:
            announce(f"predicting {task.name} {split}: {len(examples)} rows")
            rows = encode(examples, config, tokenizer, task=task)
            predicted = predict(model, task, rows, process, bf16=bf16)
            path = folder / output_name(task, split)
            files += write_predictions(path, task, examples, predicted, with_text=with_text)
            if examples.labels is not None:
                scored[task.name] = score_all(task, predicted, examples.labels)
    return Predictions(files=tuple(files), scores=scores_of(config.tasks, scored))


def _read(config: TrialConfig, split: Split) -> list[tuple[TaskSpec, Examples]]:
    """Read the rows of every task that has them before any is predicted."""
    read = [(task, load_examples(task, config.data, split, seed=config.seed, every_row=True)) for task in config.tasks]
    return [(task, examples) for task, examples in read if examples is not None]


@dataclass(frozen=True, kw_only=True)
class PredictionRequest:
    """The arguments of `python -m mtbert_ray.predict`."""

    checkpoint: Path
    data: Path | None = None
    """Folder of the course's files, in place of the data that the checkpoint was trained on."""
    files: tuple[str, ...] = ()
    """`TASK=PATH` texts; with any, only these are predicted."""
    out: Path | None = None
    """Folder for the predictions; none takes `predictions` beside the checkpoint."""
    with_text: bool = False
    """Whether plain CSV holds the sentences too."""
    quoting: Quoting | None = None
    """How quotes in `files` are read; none as in each task's source."""


def answer(request: PredictionRequest, *, announce: Callable[[str], None]) -> list[str]:
    """Write the predictions and return what to tell of them, a line a fact.

    Args:
        request: as asked.
        announce: told of each part of the work before it is done.

    Warns:
        UserWarning: `data` or `with_text` has no effect.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        ConfigError: mistakes in `files`, all of them at once.
        UserError: as for `predict_all` and `predict_files`.
    """
    model, config = load_checkpoint(request.checkpoint)
    folder = request.out or request.checkpoint.parent / "predictions"
    process = local_process(config.resources)
    if request.with_text and all(map(is_of_course, config.tasks)):
        warnings.warn("--with-text has no effect: the course's format has no place for texts", stacklevel=2)
    if request.files:
        if request.data is not None:
            warnings.warn("--data has no effect: --file names the rows", stacklevel=2)
        files = parse_files(request.files, config)
        done = predict_files(
            model,
            config,
            files,
            folder,
            process=process,
            with_text=request.with_text,
            quoting=request.quoting,
            announce=announce,
        )
        return [line for one in done for line in lines_of(one)]
    if request.quoting is not None:
        warnings.warn("--quoting has no effect without --file", stacklevel=2)
    if request.data is not None:
        if all(task.source is not None for task in config.tasks):
            why = "every task of this checkpoint has a source of its own"
            warnings.warn(f"--data has no effect: {why}", stacklevel=2)
        config = config.model_copy(update={"data": config.data.on_course_files(request.data)})
    written = predict_all(model, config, folder, process=process, with_text=request.with_text, announce=announce)
    return [*map(str, written.files), *_score_lines(written.scores)]


def lines_of(done: FilePredictions) -> list[str]:
    """Return what to tell of one file's predictions."""
    lines = [str(path) for path in (done.written, done.confusion) if path is not None]
    if done.scores:
        rows = f"{done.num_rows} rows" if done.num_scored == done.num_rows else f"{done.num_scored} rows with a label"
        scores = [
            f"no {metric}: {one.reason}" if one.value is None else f"{metric} {one.value:.4f}"
            for metric, one in done.scores.items()
        ]
        lines.append(f"{done.file}: {', '.join(scores)} ({rows})")
    if done.said is not None:
        lines.append(f"{done.file}: {done.said}")
    return lines


def _score_lines(scores: Scores) -> list[str]:
    """Return the scores in one line, and a line for each that has no value."""
    known = ", ".join(f"{name} {value:.4f}" for name, value in scores.values.items() if value is not None)
    return [*filter(None, [known]), *in_words(scores.undefined)]
