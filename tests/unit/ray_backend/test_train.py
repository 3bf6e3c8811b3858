"""The driver of a trial under Ray Train, without a Ray: what it makes of its workers' errors."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import ray
import torch
from ray import tune
from ray.train import UserCallback, WorkerGroupError
from ray.train.v2._internal.constants import get_env_vars_to_propagate

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.ray_backend import train

TRIAL = TrialConfig.model_validate(
    nest({"encoder": "tiny", "resources.num_workers": 2, "resources.gpus_per_worker": 0})
)
CONFIG = {"trial_id": "t004", "trial": TRIAL.model_dump(mode="json"), "attempt": 1}


@pytest.fixture
def reports(monkeypatch) -> list[dict]:
    """What the driver reports to Tune."""
    found: list[dict] = []
    monkeypatch.setattr(tune, "report", found.append)
    context = SimpleNamespace(get_node_id=lambda: "node-1", gcs_address="10.0.0.1:6379")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setenv("RAY_ADDRESS", "")
    return found


def workers_raise(monkeypatch, error: Exception) -> None:
    def fit() -> None:
        raise WorkerGroupError("a rank failed", {1: error})

    monkeypatch.setattr(train, "TuneReportCallback", UserCallback)
    monkeypatch.setattr(train, "TorchTrainer", lambda *_, **options: SimpleNamespace(fit=fit))


def test_a_rank_that_runs_out_of_memory_is_the_trial_s_end(monkeypatch, reports, tmp_path):
    workers_raise(monkeypatch, torch.OutOfMemoryError("CUDA out of memory."))
    train.drive_trial(CONFIG, sweep_folder=str(tmp_path))
    (report,) = reports
    event = json.loads(report["event"])
    assert report["done"]
    assert (event["event"], event["trial_id"], event["kind"]) == ("trial_stopped", "t004", "memory")


def test_any_other_error_of_a_rank_is_raised(monkeypatch, reports, tmp_path):
    workers_raise(monkeypatch, ValueError("no such file"))
    with pytest.raises(WorkerGroupError):
        train.drive_trial(CONFIG, sweep_folder=str(tmp_path))
    assert not reports


def test_ray_train_s_processes_know_the_cluster_among_several_of_a_machine(monkeypatch, reports, tmp_path):
    workers_raise(monkeypatch, torch.OutOfMemoryError("CUDA out of memory."))
    train.drive_trial(CONFIG, sweep_folder=str(tmp_path))
    assert os.environ["RAY_ADDRESS"] == "10.0.0.1:6379"
    assert get_env_vars_to_propagate()["RAY_ADDRESS"] == "10.0.0.1:6379"


def test_neither_the_driver_nor_the_controller_loads_what_trains():
    check = "import sys, mtbert_ray.ray_backend.train; sys.exit(bool({'transformers', 'peft'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
