"""Prediction files of every task's dev and test rows, and the scores they get."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.examples import Examples
from mtbert_ray.data.sources import Split, load_examples
from mtbert_ray.files import make_folder
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.evaluate import predict, score_all
from mtbert_ray.training.inputs import encode
from mtbert_ray.training.loop import uses_bf16
from mtbert_ray.training.prediction_files import output_name, write_predictions
from mtbert_ray.training.process import Process
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
            if said := examples.rows_read.said():
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
