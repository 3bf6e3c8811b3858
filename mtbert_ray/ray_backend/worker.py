"""A worker of a trial under either launcher: sets up the device, trains, and reports events to Tune."""

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

from mtbert_ray.config import ProbeConfig, TrialConfig
from mtbert_ray.events import EpochFinished, ProbeFinished, TrialResumed
from mtbert_ray.ray_backend.memory import noting_memory_use
from mtbert_ray.ray_backend.reports import event_report
from mtbert_ray.training.heartbeat import Heartbeat
from mtbert_ray.training.inputs import LoadInputs, load_inputs
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import MeteredEpoch, MeteredProbe, metered_epochs
from mtbert_ray.training.process import Process
from mtbert_ray.training.run_state import STATE_NAME, RunState


def start_run(
    config: TrialConfig,
    process: Process,
    trial_folder: Path,
    *,
    attempt: "Attempt | None" = None,
    on_step: Callable[[int, int], None] = lambda step, total_steps: None,
    load: LoadInputs = load_inputs,
) -> TrainingRun:
    """Return a run that is ready for its next step and keeps its best epoch under the trial's folder.

    Checkpoint and dev predictions are on disk before the epoch is reported: Tune may stop the trial, and have them
    fetched, as soon as it gets the report. With an attempt its state is kept as well, and the run continues from that
    of an earlier attempt.
    """
    if process.device.type == "cuda":
        torch.cuda.set_device(process.device)
        torch.cuda.reset_peak_memory_stats(process.device)
    else:
        # Several trials share the machine.
        torch.set_num_threads(config.resources.cpus_per_worker)
    state = None if attempt is None else attempt.state(trial_folder, config, process)
    return TrainingRun(config, process=process, folder=trial_folder, on_step=on_step, load=load, state=state)


def heartbeat_of(trial_folder: Path, process: Process) -> Heartbeat:
    """Return the signs of life of a rank, which begin with its loading."""
    return Heartbeat(trial_folder, process.rank, node_id=ray.get_runtime_context().get_node_id())


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Which attempt at a trial this is, and how its state is saved."""

    number: int
    """From 1."""
    epochs_done: int
    """Epochs that earlier attempts have reported."""
    checkpoint_minutes: float | None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Attempt":
        """Return the attempt of a config of `StudyOnTune.suggest`; the first one if it has none."""
        return cls(
            number=config.get("attempt") or 1,
            epochs_done=config.get("epochs_done") or 0,
            checkpoint_minutes=config.get("checkpoint_minutes"),
        )

    def state(self, trial_folder: Path, config: TrialConfig, process: Process) -> RunState:
        """Return the state of a trial, which must not be behind what is known of the trial.

        It is saved before an epoch is reported, but for the last one, which may be trained again.
        """
        return RunState(
            trial_folder / STATE_NAME,
            config,
            process,
            minutes=self.checkpoint_minutes,
            min_epochs=min(self.epochs_done, config.epochs - 1),
        )


@dataclass(frozen=True, kw_only=True)
class Continued:
    """Where an attempt after the first begins."""

    epoch: int
    """Epochs that its state has; 0 starts over."""


def reported_epochs(
    run: TrainingRun, *, probe: ProbeConfig | None = None, attempt: int = 1
) -> Generator[Continued | MeteredProbe | MeteredEpoch]:
    """Yield where a later attempt continues, the probe and the epochs; the last one only after the run has ended.

    On its report the sweep fetches the trial's files, and a profile that is cut short is written at the end of the run.
    """
    if attempt > 1:
        yield Continued(epoch=run.progress.num_ended)
    with closing(metered_epochs(run, probe=probe)) as epochs:
        for result in epochs:
            if isinstance(result, MeteredEpoch) and result.is_last:
                next(epochs, None)
            yield result


def report_of(trial_id: str, result: Continued | MeteredProbe | MeteredEpoch) -> dict[str, Any]:
    """Return a worker's report to Tune as it continues, after its probe or an epoch: the event for the journal."""
    if isinstance(result, Continued):
        return event_report(TrialResumed(trial_id=trial_id, epoch=result.epoch))
    if isinstance(result, MeteredProbe):
        return event_report(
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
    return {**event_report(event), "profile_problem": result.profile_problem}


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
        gpus=trial.resources.num_gpus,
    )
    attempt = Attempt.of(config)
    folder = Path(config["trial_folder"])
    with heartbeat_of(folder, process) as heartbeat, noting_memory_use(process, folder):
        run = start_run(trial, process, folder, attempt=attempt, on_step=heartbeat.on_step)
        for result in reported_epochs(run, probe=probe_of(config), attempt=attempt.number):
            heartbeat.wait()
            ray.train.report(report_of(config["trial_id"], result))
            heartbeat.work()
