"""What every worker of a trial does, whoever launched it: set up the device, begin the run, say what it cost."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

from mtbert_ray.config import TrialConfig
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import MeteredEpoch, metered_epochs
from mtbert_ray.training.process import Process


def begin_run(config: TrialConfig, process: Process, trial_folder: Path) -> TrainingRun:
    """Return a run that is ready for its first step and keeps its best checkpoint under the trial's folder."""
    if process.device.type == "cuda":
        torch.cuda.set_device(process.device)
        torch.cuda.reset_peak_memory_stats(process.device)
    else:
        # Several trials share the machine; each must not take every core for itself.
        torch.set_num_threads(config.resources.cpus_per_worker)
    return TrainingRun(config, process=process, folder=trial_folder)


def gpus_of(trial: TrialConfig) -> float:
    """Return the GPUs of each worker; `auto` has been resolved before a trial starts."""
    assert trial.resources.gpus_per_worker != "auto", "gpus_per_worker is resolved against the cluster first"
    return trial.resources.gpus_per_worker


def told_epochs(run: TrainingRun) -> Generator[MeteredEpoch]:
    """Train, score and meter, one epoch a turn; give the last one when the run has ended.

    What a trial tells of its last epoch makes the sweep fetch what it left behind, and a recording of its steps that
    its end cuts short is only then written.
    """
    with closing(metered_epochs(run)) as epochs:
        for epoch in epochs:
            if epoch.is_last:
                next(epochs, None)
            yield epoch


def report_of(epoch: MeteredEpoch) -> dict[str, Any]:
    """Return what a trial tells Tune after an epoch."""
    return {
        "metrics": epoch.metrics,
        "gpu_problem": epoch.gpu_problem,
        "profile_problem": epoch.profile_problem,
        # Checkpoint and traces lie on this node, which need not be the sweep's.
        "node_id": ray.get_runtime_context().get_node_id(),
    }


def run_rank(config: dict[str, Any]) -> None:
    """Run one rank of a trial under Ray Train, which has initialised the process group.

    Args:
        config: `trial` (a TrialConfig as a dict) and `trial_folder`.
    """
    trial = TrialConfig.model_validate(config["trial"])
    process = Process(
        rank=dist.get_rank() if dist.is_initialized() else 0,
        world_size=dist.get_world_size() if dist.is_initialized() else 1,
        device=ray.train.torch.get_device(),
        gpus=gpus_of(trial),
    )
    run = begin_run(trial, process, Path(config["trial_folder"]))
    for epoch in told_epochs(run):
        ray.train.report(report_of(epoch))
