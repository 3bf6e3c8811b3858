"""A worker of a trial under either launcher: sets up the device, trains, and reports events to Tune."""

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
from mtbert_ray.events import EpochFinished, ProbeFinished, TrialStopped
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

    The checkpoint is on disk before the epoch is reported: Tune may stop the trial, and have the checkpoint fetched, as
    soon as it gets the report.
    """
    if process.device.type == "cuda":
        torch.cuda.set_device(process.device)
        torch.cuda.reset_peak_memory_stats(process.device)
    else:
        # Several trials share the machine.
        torch.set_num_threads(config.resources.cpus_per_worker)
    return TrainingRun(config, process=process, folder=trial_folder, load=load)


def gpus_of(trial: TrialConfig) -> float:
    """Return the GPUs of each worker."""
    assert trial.resources.gpus_per_worker != "auto", "gpus_per_worker is resolved against the cluster first"
    return trial.resources.gpus_per_worker


def reported_epochs(run: TrainingRun, *, probe: ProbeConfig | None = None) -> Generator[MeteredProbe | MeteredEpoch]:
    """Yield the probe and the epochs; the last one only after the run has ended.

    On its report the sweep fetches the trial's files, and a profile that is cut short is written at the end of the run.
    """
    with closing(metered_epochs(run, probe=probe)) as epochs:
        for result in epochs:
            if isinstance(result, MeteredEpoch) and result.is_last:
                next(epochs, None)
            yield result


def report_of(trial_id: str, result: MeteredProbe | MeteredEpoch) -> dict[str, Any]:
    """Return a worker's report to Tune after its probe or an epoch: the event for the journal."""
    if isinstance(result, MeteredProbe):
        return _report(
            ProbeFinished(
                trial_id=trial_id,
                steps=result.steps,
                metrics=result.metrics,
                projection=result.projection,
                gpu_problem=result.gpu_problem,
            )
        )
    event = EpochFinished(
        trial_id=trial_id, metrics=result.metrics, undefined=result.undefined, gpu_problem=result.gpu_problem
    )
    return {**_report(event), "profile_problem": result.profile_problem}


def out_of_memory_report(trial_id: str, message: str) -> dict[str, Any]:
    """Return a trial's last report to Tune when it runs out of memory."""
    return {**_report(out_of_memory(trial_id, message)), "done": True}


def _report(event: ProbeFinished | EpochFinished | TrialStopped) -> dict[str, Any]:
    # The driver sets the time: clocks of nodes differ. Checkpoint and traces are on this node.
    return {"event": event.model_dump_json(exclude={"time"}), "node_id": ray.get_runtime_context().get_node_id()}


def out_of_memory(trial_id: str, message: str) -> TrialStopped:
    """Return the end of a trial that ran out of memory, with a line of `memory_message`."""
    return TrialStopped(trial_id=trial_id, reason=f"out of memory: {message}", kind="memory")


def probe_of(config: Mapping[str, Any]) -> ProbeConfig | None:
    """Return the probe in a trial's Tune config."""
    probe = config.get("probe")
    return None if probe is None else ProbeConfig.model_validate(probe)


def run_rank(config: dict[str, Any]) -> None:
    """Run one rank of a trial under Ray Train; the config is that of `StudyOnTune.suggest`, with `trial_folder`."""
    trial = TrialConfig.model_validate(config["trial"])
    process = Process(
        rank=dist.get_rank() if dist.is_initialized() else 0,
        world_size=dist.get_world_size() if dist.is_initialized() else 1,
        device=ray.train.torch.get_device(),
        gpus=gpus_of(trial),
    )
    run = start_run(trial, process, Path(config["trial_folder"]))
    for result in reported_epochs(run, probe=probe_of(config)):
        ray.train.report(report_of(config["trial_id"], result))
