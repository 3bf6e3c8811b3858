"""The inline launcher: a one-worker trial inside a Tune actor that is used again for the next trial.

Starting a TorchTrainer takes 24 to 50 seconds a trial, mostly imports; a reused actor takes next to none.
Same loop, metrics and checkpoints as the train launcher.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from ray import tune

from mtbert_ray.cluster.worker import begin_run, gpus_of, report_of, told_epochs
from mtbert_ray.config import TrialConfig
from mtbert_ray.resources.meter import return_freed_memory
from mtbert_ray.training.metering import MeteredEpoch
from mtbert_ray.training.process import Process


class InlineTrial(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
    """One Tune step an epoch. The Tune config is what `tuning.searchers.for_ray` suggests."""

    _epochs: Generator[MeteredEpoch] | None = None

    def setup(self, config: dict[str, Any], *, sweep_folder: str) -> None:
        """Keep the sweep's folder and the trial's setting; loading waits for the first step."""
        self._sweep_folder = Path(sweep_folder)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial's setting; the process, its imports and its CUDA context stay."""
        self._end()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train and score one epoch."""
        if self._epochs is None:
            self._epochs = self._begin_epochs()
        epoch = next(self._epochs)
        return {**report_of(epoch), "done": epoch.is_last}

    def cleanup(self) -> None:
        """Stop metering and let go of the model."""
        self._end()

    def _begin(self, config: dict[str, Any]) -> None:
        self._trial_id = str(config["trial_id"])
        self._trial = TrialConfig.model_validate(config["trial"])
        self._epochs = None

    def _begin_epochs(self) -> Generator[MeteredEpoch]:
        # Ray has set CUDA_VISIBLE_DEVICES to the trial's card, or slice of one.
        gpus = gpus_of(self._trial)
        process = Process(device=torch.device("cuda", 0), gpus=gpus) if gpus > 0 else Process()
        return told_epochs(begin_run(self._trial, process, self._sweep_folder / "trials" / self._trial_id))

    def _end(self) -> None:
        if self._epochs is not None:
            self._epochs.close()  # Its `with` stops the meter.
        self._epochs = None
        # The next trial of this process must not start with, and be charged for, what this one left behind.
        return_freed_memory()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
