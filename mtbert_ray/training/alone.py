"""One run on this machine without Ray, in a folder of its own.

The folder has metrics.jsonl, TensorBoard's event file, the best epoch's checkpoint and dev predictions, and the traces
of profiled steps.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from mtbert_ray.config import TrialConfig, dotted
from mtbert_ray.data.classes import find_classes
from mtbert_ray.errors import UserError
from mtbert_ray.events import as_scalar
from mtbert_ray.files import make_folder
from mtbert_ray.metrics import Metrics
from mtbert_ray.scoring.dev_predictions import DEV_PREDICTIONS_NAME, PREDICTIONS_NAME
from mtbert_ray.task_metrics import Undefined, in_words
from mtbert_ray.training.evaluate import labels_of
from mtbert_ray.training.loop import CHECKPOINT_NAME, TrainingRun
from mtbert_ray.training.metering import MeteredEpoch, metered_epochs
from mtbert_ray.training.process import local_process
from mtbert_ray.training.profile import PROFILE_NAME
from mtbert_ray.training.scoring import undefined_before_training
from mtbert_ray.training.tensorboard import TENSORBOARD_NAME, ScalarLog
from mtbert_ray.trial import final_metrics

METRICS_LOG_NAME = "metrics.jsonl"


def run_alone(
    config: TrialConfig,
    folder: Path,
    *,
    on_step: Callable[[int, int], None],
    announce: Callable[[str], None] = lambda text: None,
    warn: Callable[[str], None] = lambda text: None,
) -> Iterator[Metrics]:
    """Train, evaluate and meter one config; yield each epoch's metrics once they are in the folder.

    Args:
        config: of the run.
        folder: must not hold a run; is made.
        on_step: called after each optimizer step with (steps taken, steps of the run).
        announce: called with the classes that were found and the rows that were left out, before the first step.
        warn: called once for each undefined score, with the reason; before the first step if it is known by then.

    Raises:
        UserError: the folder holds a run or cannot be made; or as for `TrainingRun`.
        DivergedError: losses, weights or outputs became infinite or NaN; the folder then holds no checkpoint.
    """
    _refuse_used(folder)
    config, found = find_classes(config)
    for line in found:
        announce(line)
    run = TrainingRun(
        config, process=local_process(config.resources), folder=folder, on_step=on_step, write_behind=True
    )
    for line in run.row_notes:
        announce(line)
    warned: set[str] = set()

    def warn_once(undefined: Undefined) -> None:
        for text in in_words(undefined):
            if text not in warned:
                warned.add(text)
                warn(text)

    warn_once(undefined_before_training(config.tasks, labels_of(run.dev_splits)))
    # Not before: a config that is refused leaves no folder behind.
    make_folder(folder, f"--out {folder}")
    with (
        (folder / METRICS_LOG_NAME).open("w", encoding="utf-8") as log,
        ScalarLog(folder / TENSORBOARD_NAME) as scalars,
    ):
        epochs = []
        for epoch in metered_epochs(run):
            assert isinstance(epoch, MeteredEpoch), "without a probe"
            logged = {**epoch.metrics, "undefined": epoch.undefined} if epoch.undefined else epoch.metrics
            log.write(json.dumps(logged, allow_nan=False) + "\n")
            log.flush()
            scalars.add_epoch(epoch.metrics)
            warn_once(epoch.undefined)
            epochs.append(epoch.metrics)
            yield epoch.metrics
        chosen = dotted(config.model_dump(mode="json", exclude_defaults=True))
        hyperparameters = {key: as_scalar(value) for key, value in chosen.items()}
        scalars.add_result(hyperparameters, final_metrics(epochs, [task.name for task in config.tasks]))


def _refuse_used(folder: Path) -> None:
    names = (METRICS_LOG_NAME, CHECKPOINT_NAME, TENSORBOARD_NAME, PROFILE_NAME)
    # `predict` may have put files of its own into the folder of predictions.
    if any((folder / name).exists() for name in (*names, f"{PREDICTIONS_NAME}/{DEV_PREDICTIONS_NAME}")):
        # The files of two runs would be mixed.
        raise UserError(f"--out {folder}: already holds a run; give another folder")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: is a file; give a folder")
