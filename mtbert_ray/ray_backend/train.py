"""The train launcher: a trial whose workers run under Ray Train's TorchTrainer, several with DDP."""

from pathlib import Path
from typing import Any

from ray import tune
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from mtbert_ray.config import TrialConfig
from mtbert_ray.ray_backend.worker import Attempt, gpus_of, out_of_memory, out_of_memory_report, run_rank


def drive_trial(config: dict[str, Any], *, sweep_folder: str) -> None:
    """Drive one trial from inside Tune: start its workers and forward the reports of rank 0.

    The config is that of `StudyOnTune.suggest`.
    """
    trial = TrialConfig.model_validate(config["trial"])
    trial_id = str(config["trial_id"])
    trainer = TorchTrainer(
        run_rank,
        train_loop_config={
            "trial_id": trial_id,
            "trial": config["trial"],
            **{key: config.get(key) for key in ("probe", "attempt", "epochs_done", "checkpoint_minutes")},
            "trial_folder": str(Path(sweep_folder) / "trials" / trial_id),
        },
        torch_config=TorchConfig(backend="nccl" if gpus_of(trial) > 0 else "gloo"),
        scaling_config=scaling_of(trial),
        run_config=RunConfig(
            # Another one for each attempt: a trainer would take up the run of that name where it failed.
            name=f"{trial_id}-{Attempt.of(config).number}",
            storage_path=str(Path(sweep_folder) / "ray" / "train"),
            # Ray's default retries an unschedulable trial for ever.
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=2),
            callbacks=[TuneReportCallback()],
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        end = out_of_memory(trial_id, error)
        if end is None:
            raise
        tune.report(out_of_memory_report(end))


def scaling_of(trial: TrialConfig) -> ScalingConfig:
    """Return the workers and their resources in Ray Train's terms."""
    per_worker: dict[str, float] = {"CPU": trial.resources.cpus_per_worker}
    if gpus_of(trial) > 0:
        per_worker["GPU"] = gpus_of(trial)
    return ScalingConfig(
        num_workers=trial.resources.num_workers, use_gpu=gpus_of(trial) > 0, resources_per_worker=per_worker
    )
