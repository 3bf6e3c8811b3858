"""The train launcher: a trial whose workers run under Ray Train's TorchTrainer, several with DDP.

Two more processes of a trial load this module, its driver and Ray Train's controller: neither loads what trains, which
takes seconds.
"""

import os
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from mtbert_ray import compat
from mtbert_ray.config import TrialConfig
from mtbert_ray.ray_backend.reports import out_of_memory, out_of_memory_report


def drive_trial(config: dict[str, Any], *, sweep_folder: str) -> None:
    """Drive one trial from inside Tune: start its workers and forward the reports of rank 0.

    The config is that of `StudyOnTune.suggest`.
    """
    trial = TrialConfig.model_validate(config["trial"])
    trial_id = str(config["trial_id"])
    # Ray Train frees a stopped trial's workers through the State API, which would look for the cluster and stumble over
    # a second one on the same machine.
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    compat.propagate_to_ray_train("RAY_ADDRESS")
    trainer = TorchTrainer(
        _run_rank,
        train_loop_config={
            "trial_id": trial_id,
            "trial": config["trial"],
            **{key: config.get(key) for key in ("probe", "attempt", "epochs_done", "checkpoint_minutes")},
            "trial_folder": str(Path(sweep_folder) / "trials" / trial_id),
        },
        torch_config=TorchConfig(backend="nccl" if trial.resources.num_gpus > 0 else "gloo"),
        scaling_config=scaling_of(trial),
        run_config=RunConfig(
            # Another one for each attempt: a trainer would take up the run of that name where it failed.
            name=f"{trial_id}-{config['attempt']}",
            storage_path=str(Path(sweep_folder) / "ray" / "train"),
            # Ray's default retries an unschedulable trial for ever.
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=2),
            callbacks=[TuneReportCallback()],
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        end = out_of_memory(trial_id, error, alone=bool(config.get("alone")))
        if end is None:
            raise
        tune.report(out_of_memory_report(end))


def _run_rank(config: dict[str, Any]) -> None:
    from mtbert_ray.ray_backend.worker import run_rank

    run_rank(config)


def scaling_of(trial: TrialConfig) -> ScalingConfig:
    """Return the workers and their resources in Ray Train's terms."""
    per_worker: dict[str, float] = {"CPU": trial.resources.cpus_per_worker}
    if trial.resources.num_gpus > 0:
        per_worker["GPU"] = trial.resources.num_gpus
    return ScalingConfig(
        num_workers=trial.resources.num_workers, use_gpu=trial.resources.num_gpus > 0, resources_per_worker=per_worker
    )
