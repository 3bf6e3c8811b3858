"""One run on this machine without Ray, kept in a folder of its own: metrics.jsonl and the best checkpoint."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import UserError
from mtbert_ray.metrics import Metrics
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import metered_epochs
from mtbert_ray.training.process import local_process

CHECKPOINT_NAME = "checkpoint"
METRICS_LOG_NAME = "metrics.jsonl"


def run_alone(config: TrialConfig, folder: Path, *, on_step: Callable[[int, int], None]) -> Iterator[Metrics]:
    """Train, score and meter one setting; give each epoch's metrics once they are in the folder.

    Args:
        config: the setting.
        folder: must not hold a run; is made.
        on_step: called after each optimiser step with (steps taken, steps of the run).

    Raises:
        UserError: the folder holds a run or cannot be made; or as for `TrainingRun`.
        DivergedError: the loss became infinite or NaN.
    """
    if any((folder / name).exists() for name in (METRICS_LOG_NAME, CHECKPOINT_NAME)):
        # The files of two settings would be mixed.
        raise UserError(f"--out {folder}: already holds a run; give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {folder}: no folder can be made there: {error}") from error
    process = local_process(config.resources)
    run = TrainingRun(config, process=process, checkpoint=folder / CHECKPOINT_NAME, on_step=on_step)
    with (folder / METRICS_LOG_NAME).open("w", encoding="utf-8") as log:
        for epoch in metered_epochs(run):
            log.write(json.dumps(epoch.metrics) + "\n")
            log.flush()
            yield epoch.metrics
