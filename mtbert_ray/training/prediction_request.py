"""From what a user asks of `predict` on the command line to the files, and to what is told of them."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import ConfigError, did_you_mean
from mtbert_ray.task_source import Quoting
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.checkpoint import load_checkpoint
from mtbert_ray.training.file_predictions import FilePredictions, predict_files, predictions_name
from mtbert_ray.training.prediction_files import is_of_course
from mtbert_ray.training.predictions import predict_all
from mtbert_ray.training.process import local_process
from mtbert_ray.training.scoring import Scores
from mtbert_ray.undefined import in_words


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
    names = [predictions_name(task, path) for task, path in files]
    problems += [
        f"--file: the predictions of two files would both be {name}; rename one, or predict them apart"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise ConfigError(problems)
    return files


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
