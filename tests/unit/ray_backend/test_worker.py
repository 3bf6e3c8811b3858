"""What every worker of a trial does: threads of its own share, a checkpoint in the trial's folder."""

import threading

import pytest
import torch

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.ray_backend.train import scaling_of
from mtbert_ray.ray_backend.worker import reported_epochs, start_run
from mtbert_ray.training.checkpoint import load_checkpoint
from mtbert_ray.training.process import Process

SMALL = {"encoder": "tiny", "epochs": 1, "tasks": ["sst"], "data.max_train_rows": 16, "data.max_dev_rows": 10}


def trial(**dotted) -> TrialConfig:
    return TrialConfig.model_validate(nest({**SMALL, **dotted}))


@pytest.fixture
def threads():
    """Give the tests after this their threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_worker_computes_on_the_cores_it_holds(tmp_path, threads, cpus):
    start_run(trial(**{"resources.cpus_per_worker": cpus}), Process(), tmp_path)
    assert torch.get_num_threads() == cpus


def test_the_best_epoch_is_kept_in_the_trial_s_folder(tmp_path, threads):
    config = trial(**{"resources.gpus_per_worker": 0})
    run = start_run(config, Process(), tmp_path / "trials" / "t1")
    assert not (tmp_path / "trials").exists(), "nothing is written before an epoch is done"
    list(run.epochs())
    assert {path.name for path in (tmp_path / "trials" / "t1").iterdir()} == {"checkpoint", "predictions"}
    assert load_checkpoint(tmp_path / "trials" / "t1" / "checkpoint")[1] == config


@pytest.mark.filterwarnings("ignore:profile. only 1 of 3 steps:RuntimeWarning")
def test_a_recording_cut_short_is_on_disk_before_the_last_epoch_is_reported(tmp_path, threads):
    """Once it is reported, the sweep fetches what the trial left."""
    profile = {"profile.wait": 2, "profile.warmup": 0, "profile.steps": 3}
    config = trial(**profile, **{"epochs": 3, "batch_size": 16, "resources.gpus_per_worker": 0})
    epochs = reported_epochs(start_run(config, Process(), tmp_path))
    first, second = next(epochs), next(epochs)
    assert (first.profile_problem, second.profile_problem) == (None, None)
    assert not (tmp_path / "profile").exists()
    last = next(epochs)
    assert [path.name for path in (tmp_path / "profile").iterdir()] == ["rank0.3.pt.trace.json.gz"]
    assert last.is_last and last.profile_problem.startswith("profile: only 1 of 3 steps were recorded: the run ended")
    assert next(epochs, None) is None


@pytest.mark.parametrize("taken", [0, 1])
def test_a_trial_that_is_dropped_stops_its_meter_at_once(tmp_path, threads, taken):
    config = trial(**{"epochs": 2, "resources.gpus_per_worker": 0})
    before = set(threading.enumerate())
    epochs = reported_epochs(start_run(config, Process(), tmp_path))
    for _ in range(taken):
        next(epochs)
    assert (set(threading.enumerate()) == before) is (taken == 0)
    epochs.close()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize(
    ("resources", "per_worker"),
    [
        ({"num_workers": 2, "cpus_per_worker": 3, "gpus_per_worker": 0}, {"CPU": 3}),
        ({"num_workers": 4, "gpus_per_worker": 1}, {"CPU": 1, "GPU": 1}),
        ({"num_workers": 1, "gpus_per_worker": 0.25}, {"CPU": 1, "GPU": 0.25}),
    ],
)
def test_ray_train_is_asked_for_what_a_trial_holds(resources, per_worker):
    scaling = scaling_of(trial(resources=resources))
    assert scaling.num_workers == resources["num_workers"]
    assert scaling.resources_per_worker == per_worker
    assert scaling.use_gpu is (trial(resources=resources).resources.num_gpus > 0)
