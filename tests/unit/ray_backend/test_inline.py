"""The reused process of one-worker trials: its probe, its epochs, and a trial that runs out of memory in between."""

import gc
import json
import threading
from types import SimpleNamespace

import pytest
import ray
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.ray_backend import memory
from mtbert_ray.ray_backend.inline import InlineTrial
from mtbert_ray.ray_backend.memory import MemoryUse
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
    # As if nobody else were there, whatever else runs on this machine.
    alone = MemoryUse(own=1.0, others=0.0, total=8.0)
    monkeypatch.setattr(memory, "memory_of_gpu", lambda process: alone)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def given(trial_id: str, probe: dict | None = None, **dotted) -> dict:
    trial = TrialConfig.model_validate(nest({**SMALL, **dotted}))
    return {"trial_id": trial_id, "trial": trial.model_dump(mode="json"), "probe": probe}


def actor(folder, config) -> InlineTrial:
    trial = InlineTrial.__new__(InlineTrial)  # As Tune makes it, but for Tune's own state.
    trial.setup(config, sweep_folder=str(folder))
    return trial


def event_of(report: dict) -> dict:
    """What the journal will hold; each report has the node that it comes from."""
    assert report["node_id"] == "node-1"
    return json.loads(report["event"])


def number_of(report: dict) -> int:
    """The epoch of a report, 0 for a probe."""
    event = event_of(report)
    return 0 if event["event"] == "probe" else event["metrics"]["epoch"]


def living_models() -> list[MultitaskModel]:
    return [found for found in gc.get_objects() if type(found) is MultitaskModel]


def test_a_probe_is_a_step_of_its_own(tmp_path):
    trial = actor(tmp_path, given("t0", PROBE))
    reports = [trial.step() for _ in range(3)]
    assert [number_of(report) for report in reports] == [0, 1, 2]
    assert [report["done"] for report in reports] == [False, False, True]
    probe, *epochs = map(event_of, reports)
    assert (probe["event"], probe["trial_id"], probe["steps"]) == ("probe", "t0", 3)
    assert probe["projection"]["train_seconds"] > probe["metrics"]["train_seconds"] > 0
    assert [epoch["event"] for epoch in epochs] == ["epoch", "epoch"]
    assert "time" not in probe, "the sweep's clock says when"


@pytest.mark.parametrize("config", [given("t0"), {k: v for k, v in given("t0").items() if k != "probe"}])
def test_without_a_probe_there_are_epochs_only(tmp_path, config):
    trial = actor(tmp_path, config)
    assert [(number_of(report), report["done"]) for report in (trial.step(), trial.step())] == [(1, False), (2, True)]


def test_a_config_that_no_machine_can_hold_is_an_outcome_and_the_next_trial_runs(tmp_path):
    """A real allocation that fails, while the model is built."""
    trial = actor(tmp_path, given("t0", PROBE, **TOO_MUCH))
    report = trial.step()
    event = event_of(report)
    assert event.pop("reason").startswith("out of memory: asked for ")
    assert event == {"event": "trial_stopped", "trial_id": "t0", "kind": "memory", "checkpoint": None}
    assert report["done"]
    assert trial.reset_config(given("t1", PROBE))
    assert [number_of(trial.step()) for _ in range(3)] == [0, 1, 2]
    assert load_checkpoint(tmp_path / "trials" / "t1" / "checkpoint")
    assert not list((tmp_path / "trials" / "t0").iterdir())


# A pass has two of them, one a layer; an epoch five steps and one pass over the dev rows.
@pytest.mark.parametrize(("room", "reports_before"), [(1, 0), (7, 1), (13, 2)])
def test_running_out_of_memory_in_between_lets_go_of_all_that_was_held(tmp_path, room, reports_before):
    """In the first step, after the probe, in the second epoch; and the meter ends with it."""
    threads, models = set(threading.enumerate()), len(living_models())
    trial = actor(tmp_path, given("t0", PROBE))
    with FullGpu(room):
        before = [trial.step() for _ in range(reports_before)]
        assert len(living_models()) == models + (reports_before > 0)
        report = trial.step()
    assert [step["done"] for step in before] == [False] * reports_before
    assert (event_of(report)["kind"], report["done"]) == ("memory", True)
    assert "asked for 2.00 GiB on GPU 0, which has 8.00 GiB, 1.50 GiB of it free" in event_of(report)["reason"]
    assert len(living_models()) == models
    assert set(threading.enumerate()) == threads
    assert trial.reset_config(given("t1"))
    assert number_of(trial.step()) == 1


def test_another_error_is_none_of_memory(tmp_path):
    diverges = {"learning_rate": 1e30, "max_grad_norm": None, "schedule": "constant", "warmup_fraction": 0.0}
    trial = actor(tmp_path, given("t0", **diverges))
    with pytest.raises(DivergedError):
        trial.step()
    assert trial.reset_config(given("t1"))
    assert number_of(trial.step()) == 1


def test_a_trial_that_is_stopped_at_its_probe_makes_room_for_the_next(tmp_path):
    threads, models = set(threading.enumerate()), len(living_models())
    trial = actor(tmp_path, given("t0", PROBE))
    trial.step()
    assert trial.reset_config(given("t1", PROBE))
    assert (len(living_models()), set(threading.enumerate())) == (models, threads)
    assert number_of(trial.step()) == 0
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


@pytest.mark.parametrize(
    ("own", "others", "kind"),
    [
        (1.0, 0.0, "memory"),
        (6.9, 1.0, "memory"),  # With the 2 GiB that it asks for it does not fit into 8 alone.
        (1.0, 6.5, "memory_taken"),
        (3.0, 4.5, "memory_taken"),
    ],
)
def test_memory_that_others_hold_is_not_the_config_s_fault(tmp_path, monkeypatch, own, others, kind):
    monkeypatch.setattr(memory, "memory_of_gpu", lambda process: MemoryUse(own=own, others=others, total=8.0))
    trial = actor(tmp_path, given("t0"))
    with FullGpu(7):
        report = trial.step()
    event = event_of(report)
    assert (event["kind"], report["done"]) == (kind, True)
    assert f"it held {own:.1f} GiB, others {others:.1f} of 8.0 GiB" in event["reason"]


def test_a_later_attempt_says_where_it_continues(tmp_path):
    first = actor(tmp_path, given("t0", epochs=3))
    reports = [first.step(), first.step()]
    again = given("t0", epochs=3) | {"attempt": 2, "epochs_done": 2}
    first._end()  # Its process dies.
    second = actor(tmp_path, again)
    resumed, repeated, last = second.step(), second.step(), second.step()
    assert event_of(resumed) == {"event": "trial_resumed", "trial_id": "t0", "epoch": 2}
    assert event_of(repeated)["metrics"] == event_of(reports[1])["metrics"]
    assert number_of(last) == 3 and last["done"] and not repeated["done"]


def test_a_later_attempt_without_a_state_starts_over(tmp_path):
    trial = actor(tmp_path, given("t0", PROBE) | {"attempt": 3, "epochs_done": 1})
    reports = [trial.step() for _ in range(4)]
    assert event_of(reports[0]) == {"event": "trial_resumed", "trial_id": "t0", "epoch": 0}
    assert [number_of(report) for report in reports[1:]] == [0, 1, 2]
