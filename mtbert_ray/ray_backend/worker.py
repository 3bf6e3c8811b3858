"""What every worker of a trial does, whoever launched it: set up the device, begin the run, say what it cost."""

from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

from mtbert_ray.config import ProbeConfig, TrialConfig
from mtbert_ray.ray_backend.failure import RankOutOfMemoryError, memory_message
from mtbert_ray.training.inputs import LoadInputs, load_inputs
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import MeteredEpoch, MeteredProbe, metered_epochs
from mtbert_ray.training.process import Process


def start_run(
    config: TrialConfig,
    process: Process,
    trial_folder: Path,
    *,
    load: LoadInputs = load_inputs,
) -> TrainingRun:
    """Return a run that is ready for its first step and keeps its best checkpoint under the trial's folder.

    The checkpoint is on disk before the epoch is told of: Tune may end the trial, and have the checkpoint fetched,
    as soon as it hears of one.

    Args:
        config: the setting, its resources resolved.
        process: this rank's place.
        trial_folder: made when there is something to keep.
        load: see `TrainingRun`.
    """
    if process.device.type == "cuda":
        torch.cuda.set_device(process.device)
        torch.cuda.reset_peak_memory_stats(process.device)
    else:
        # Several trials share the machine; each must not take every core for itself.
        torch.set_num_threads(config.resources.cpus_per_worker)
    return TrainingRun(config, process=process, folder=trial_folder, load=load)


def gpus_of(trial: TrialConfig) -> float:
    """Return the GPUs of each worker; `auto` has been resolved before a trial starts."""
    assert trial.resources.gpus_per_worker != "auto", "gpus_per_worker is resolved against the cluster first"
    return trial.resources.gpus_per_worker


def reported_epochs(run: TrainingRun, *, probe: ProbeConfig | None = None) -> Generator[MeteredProbe | MeteredEpoch]:
    """Train, score and meter, one epoch a turn, and the probe before them; give the last one when the run has ended.

    What a trial tells of its last epoch makes the sweep fetch what it left behind, and a recording of its steps that
    its end cuts short is only then written.
    """
    with closing(metered_epochs(run, probe=probe)) as epochs:
        for told in epochs:
            if isinstance(told, MeteredEpoch) and told.is_last:
                next(epochs, None)
            yield told


def report_of(told: MeteredProbe | MeteredEpoch) -> dict[str, Any]:
    """Return what a trial tells Tune after its probe or an epoch."""
    # Checkpoint and traces lie on this node, which need not be the sweep's.
    node_id = ray.get_runtime_context().get_node_id()
    if isinstance(told, MeteredProbe):
        return {
            "probe": told.metrics,
            "projection": told.projection,
            "epoch": 0,
            "step": told.steps,
            "gpu_problem": told.gpu_problem,
            "node_id": node_id,
        }
    return {
        "metrics": told.metrics,
        "epoch": told.metrics["epoch"],
        "undefined": told.undefined,
        "gpu_problem": told.gpu_problem,
        "profile_problem": told.profile_problem,
        "node_id": node_id,
    }


def out_of_memory_report(message: str, *, epochs_done: int | None) -> dict[str, Any]:
    """Return what a trial tells Tune when it ends for want of memory.

    Args:
        message: in a line.
        epochs_done: until then; none where the process could not tell.
    """
    return {
        "out_of_memory": message,
        "projection": {},
        "epoch": epochs_done,
        "node_id": ray.get_runtime_context().get_node_id(),
        "done": True,
    }


def probe_of(config: Mapping[str, Any]) -> ProbeConfig | None:
    """Return the probe of a trial from what Tune was given for it; none wants none."""
    probe = config.get("probe")
    return None if probe is None else ProbeConfig.model_validate(probe)


def run_rank(config: dict[str, Any]) -> None:
    """Run one rank of a trial under Ray Train, which has initialized the process group.

    Args:
        config: `trial` (a TrialConfig as a dict), `probe` (a ProbeConfig likewise, or none) and `trial_folder`.

    Raises:
        RankOutOfMemoryError: the rank ran out of memory.
    """
    trial = TrialConfig.model_validate(config["trial"])
    process = Process(
        rank=dist.get_rank() if dist.is_initialized() else 0,
        world_size=dist.get_world_size() if dist.is_initialized() else 1,
        device=ray.train.torch.get_device(),
        gpus=gpus_of(trial),
    )
    epochs_done = 0
    try:
        run = start_run(trial, process, Path(config["trial_folder"]))
        for told in reported_epochs(run, probe=probe_of(config)):
            ray.train.report(report_of(told))
            epochs_done += isinstance(told, MeteredEpoch)
    except (RuntimeError, MemoryError) as error:
        message = memory_message(error)
        if message is None:
            raise
        raise RankOutOfMemoryError(message, epochs_done) from error
