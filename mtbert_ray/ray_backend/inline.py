"""The inline launcher: a one-worker trial in a Tune actor that is reused for the next trial.

Starting a TorchTrainer takes 24 to 50 seconds a trial, mostly imports; a reused actor next to none.
"""

import gc
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from ray import tune

from mtbert_ray.config import TrialConfig
from mtbert_ray.ray_backend.memory import noting_memory_use
from mtbert_ray.ray_backend.reports import out_of_memory, out_of_memory_report
from mtbert_ray.ray_backend.worker import (
    Attempt,
    Continued,
    heartbeat_of,
    probe_of,
    report_of,
    reported_epochs,
    start_run,
)
from mtbert_ray.resources.meter import return_freed_memory
from mtbert_ray.training.heartbeat import Heartbeat
from mtbert_ray.training.inputs import RememberedInputs
from mtbert_ray.training.metering import MeteredEpoch, MeteredProbe
from mtbert_ray.training.process import Process


class InlineTrial(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
    """One Tune step for the probe, then one an epoch; the config is that of `StudyOnTune.suggest`."""

    _epochs: Generator[Continued | MeteredProbe | MeteredEpoch] | None = None
    _heartbeat: Heartbeat | None = None

    def setup(self, config: dict[str, Any], *, sweep_folder: str) -> None:
        """Keep the config; the first step loads model and data."""
        self._sweep_folder = Path(sweep_folder)
        self._load = RememberedInputs()
        self._imports_done = False
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial's config; imports and CUDA context stay."""
        self._end()
        self._start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train the probe, or train and score one epoch."""
        try:
            with noting_memory_use(self._process(), self._folder):
                if self._epochs is None:
                    self._epochs = self._start_epochs()
                assert self._heartbeat is not None, "it began with the epochs"
                self._heartbeat.work()
                result = next(self._epochs)
                self._heartbeat.wait()
        except (RuntimeError, MemoryError) as error:
            end = out_of_memory(self._trial_id, error, alone=self._alone)
            if end is None:
                raise
        else:
            is_last = isinstance(result, MeteredEpoch) and result.is_last
            return {**report_of(self._trial_id, result), "done": is_last}
        # Only here: the error's traceback held the frames of the step, and their tensors.
        self._end()
        return out_of_memory_report(end)

    def cleanup(self) -> None:
        """Stop metering and free the model."""
        self._end()

    def _start(self, config: dict[str, Any]) -> None:
        self._trial_id = str(config["trial_id"])
        self._trial = TrialConfig.model_validate(config["trial"])
        self._probe = probe_of(config)
        self._attempt = Attempt.of(config)
        self._alone = bool(config.get("alone"))
        self._folder = self._sweep_folder / "trials" / self._trial_id
        self._epochs = None

    def _start_epochs(self) -> Generator[Continued | MeteredProbe | MeteredEpoch]:
        self._heartbeat = heartbeat_of(self._folder, self._process())
        run = start_run(
            self._trial,
            self._process(),
            self._folder,
            attempt=self._attempt,
            on_step=self._heartbeat.on_step,
            load=self._load,
        )
        return reported_epochs(run, probe=self._probe, attempt=self._attempt.number)

    def _process(self) -> Process:
        # Ray has set CUDA_VISIBLE_DEVICES to the trial's GPU, or slice of one.
        gpus = self._trial.resources.num_gpus
        return Process(device=torch.device("cuda", 0), gpus=gpus) if gpus > 0 else Process()

    def _end(self) -> None:
        if self._epochs is not None:
            self._epochs.close()  # Its `with` stops the meter.
        self._epochs = None
        if self._heartbeat is not None:
            self._heartbeat.close()
        self._heartbeat = None
        # The memory of this trial must not count for the next one.
        return_freed_memory()
        if not self._imports_done:
            # Imports stay: garbage collection need not scan them again.
            gc.freeze()
            self._imports_done = True
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
