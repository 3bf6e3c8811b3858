"""The reused process of one-worker trials: its probe, its epochs, and a trial that runs out of memory in between."""

import gc
import threading
from types import SimpleNamespace

import pytest
import ray
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.ray_backend.inline import InlineTrial
from mtbert_ray.training.checkpoint import load_checkpoint
from mtbert_ray.training.loss import DivergedError

SMALL = {
    "encoder": "tiny",
    "epochs": 2,
    "tasks": ["sst"],
    "batch_size": 4,
    "data.max_train_rows": 20,
    "data.max_dev_rows": 10,
    "resources.gpus_per_worker": 0,
}
PROBE = {"steps": 2, "warmup_steps": 1}
TOO_MUCH = {"adapter.kind": "lora", "adapter.rank": 10**13}
"""Matrices of petabytes."""


class FullGpu(TorchDispatchMode):
    """Stands for a GPU that has no room for an activation after so many of them."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.gelu.default:
            self.room -= 1
            if self.room < 0:
                raise torch.OutOfMemoryError(
                    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB of which "
                    "1.50 GiB is free. Process 7 has 6.50 GiB memory in use."
                )
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def on_a_node(monkeypatch):
    """Tell the node's name without a Ray, and give the tests after this their threads back."""
    # What is frozen is not among gc's objects, so a model that was left behind would not be counted.
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "node-1"))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def given(trial_id: str, probe: dict | None = None, **dotted) -> dict:
    trial = TrialConfig.model_validate(nest({**SMALL, **dotted}))
    return {"trial_id": trial_id, "values": {}, "trial": trial.model_dump(mode="json"), "probe": probe}


def actor(folder, config) -> InlineTrial:
    trial = InlineTrial.__new__(InlineTrial)  # As Tune makes it, but for Tune's own state.
    trial.setup(config, sweep_folder=str(folder))
    return trial


def living_models() -> list[MultitaskModel]:
    return [found for found in gc.get_objects() if type(found) is MultitaskModel]


def test_a_probe_is_a_step_of_its_own(tmp_path):
    trial = actor(tmp_path, given("t0", PROBE))
    told = [trial.step() for _ in range(3)]
    assert [report["epoch"] for report in told] == [0, 1, 2]
    assert [report["done"] for report in told] == [False, False, True]
    probe, *epochs = told
    assert (probe["step"], probe["node_id"]) == (3, "node-1") and "metrics" not in probe
    assert probe["projection"]["train_seconds"] > probe["probe"]["train_seconds"] > 0
    for epoch in epochs:
        assert "probe" not in epoch and epoch["metrics"]["epoch"] == epoch["epoch"]
        assert epoch["projection"]["train_seconds"] >= epoch["metrics"]["train_seconds"]


@pytest.mark.parametrize("config", [given("t0"), {k: v for k, v in given("t0").items() if k != "probe"}])
def test_without_a_probe_there_are_epochs_only(tmp_path, config):
    trial = actor(tmp_path, config)
    assert [(report["epoch"], report["done"]) for report in (trial.step(), trial.step())] == [(1, False), (2, True)]


def test_a_setting_that_no_machine_can_hold_is_an_outcome_and_the_next_trial_runs(tmp_path):
    """A real allocation that fails, while the model is built."""
    trial = actor(tmp_path, given("t0", PROBE, **TOO_MUCH))
    report = trial.step()
    assert report["out_of_memory"].startswith("asked for ") and report["out_of_memory"].endswith("which had less")
    del report["out_of_memory"]
    assert report == {"epoch": 0, "projection": {}, "node_id": "node-1", "done": True}
    assert trial.reset_config(given("t1", PROBE))
    assert [trial.step()["epoch"] for _ in range(3)] == [0, 1, 2]
    assert load_checkpoint(tmp_path / "trials" / "t1" / "checkpoint")
    assert not (tmp_path / "trials" / "t0").exists()


# A pass has two of them, one a layer; an epoch five steps and one pass over the dev rows.
@pytest.mark.parametrize(("room", "told_before", "epochs_done"), [(1, 0, 0), (7, 1, 0), (13, 2, 1)])
def test_running_out_of_memory_in_between_lets_go_of_all_that_was_held(tmp_path, room, told_before, epochs_done):
    """In the first step, after the probe, in the second epoch; and the meter ends with it."""
    threads, models = set(threading.enumerate()), len(living_models())
    trial = actor(tmp_path, given("t0", PROBE))
    with FullGpu(room):
        told = [trial.step() for _ in range(told_before)]
        assert len(living_models()) == models + (told_before > 0)
        report = trial.step()
    assert [step["done"] for step in told] == [False] * told_before
    assert report == {
        "out_of_memory": "asked for 2.00 GiB on GPU 0, which has 8.00 GiB, 1.50 GiB of it free",
        "epoch": epochs_done,
        "projection": {},
        "node_id": "node-1",
        "done": True,
    }
    assert len(living_models()) == models
    assert set(threading.enumerate()) == threads
    assert trial.reset_config(given("t1"))
    assert trial.step()["epoch"] == 1


def test_another_error_is_none_of_memory(tmp_path):
    diverges = {"learning_rate": 1e30, "max_grad_norm": None, "schedule": "constant", "warmup_fraction": 0.0}
    trial = actor(tmp_path, given("t0", **diverges))
    with pytest.raises(DivergedError):
        trial.step()
    assert trial.reset_config(given("t1"))
    assert trial.step()["epoch"] == 1


def test_a_trial_that_is_stopped_at_its_probe_makes_room_for_the_next(tmp_path):
    threads, models = set(threading.enumerate()), len(living_models())
    trial = actor(tmp_path, given("t0", PROBE))
    trial.step()
    assert trial.reset_config(given("t1", PROBE))
    assert (len(living_models()), set(threading.enumerate())) == (models, threads)
    assert trial.step()["epoch"] == 0
    trial.cleanup()
    assert len(living_models()) == models


def test_the_next_trial_of_the_process_has_the_rows_of_the_last_one(tmp_path):
    trial = actor(tmp_path, given("t0", epochs=1))
    trial.step()
    kept = {split: inputs for split, (_, inputs) in trial._load._kept.items()}
    trial.reset_config(given("t1", epochs=1, learning_rate=1e-3))
    trial.step()
    assert set(kept) == {"train", "dev"}
    assert all(trial._load._kept[split][1] is inputs for split, inputs in kept.items())
