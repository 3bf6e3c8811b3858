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

    The checkpoint is on disk before the epoch is told of: Tune may end the trial, and have the checkpoint fetched,
    as soon as it hears of one.

    Args:
        config: the config, its resources resolved.
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


def report_of(trial_id: str, result: MeteredProbe | MeteredEpoch) -> dict[str, Any]:
    """Return what a worker reports to Tune after its probe or an epoch: the event that the journal will hold."""
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
    """Return what a trial reports to Tune, as its last, when it runs out of memory; the message is a line."""
    return {**_report(out_of_memory(trial_id, message)), "done": True}


def _report(event: ProbeFinished | EpochFinished | TrialStopped) -> dict[str, Any]:
    # The time is the sweep's to say: clocks of nodes differ. Checkpoint and traces lie on this node.
    return {"event": event.model_dump_json(exclude={"time"}), "node_id": ray.get_runtime_context().get_node_id()}


def out_of_memory(trial_id: str, message: str) -> TrialStopped:
    """Return the end of a trial that ran out of memory: an outcome, as its config does not fit.

    Args:
        trial_id: of the trial.
        message: what was asked for and what there was, in a line.
    """
    return TrialStopped(trial_id=trial_id, reason=f"out of memory: {message}", kind="memory")


def probe_of(config: Mapping[str, Any]) -> ProbeConfig | None:
    """Return the probe of a trial from what Tune was given for it; none wants none."""
    probe = config.get("probe")
    return None if probe is None else ProbeConfig.model_validate(probe)


def run_rank(config: dict[str, Any]) -> None:
    """Run one rank of a trial under Ray Train, which has initialized the process group.

    Args:
        config: as `StudyOnTune.suggest` gives it, with `trial_folder`.
    """
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
