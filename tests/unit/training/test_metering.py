"""A run with a fake GPU: its costs are reported with its scores, and null where they are not known."""

import json
import time

import psutil
import pytest
import torch
from fake_gpu import FakeGpuReader

from mtbert_ray.config import ProbeConfig, TrialConfig, nest
from mtbert_ray.metrics import METRICS
from mtbert_ray.resources.gpu import GpuReadError, GpuSample
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import metered_epochs, open_gpu_reader
from mtbert_ray.training.process import Process

ON_THE_GPU = ("peak_memory_gib", "gpu_utilization_mean", "gpu_utilization_peak", "energy_kj")
EVERYWHERE = ("peak_rss_gib", "cpu_seconds", "train_seconds", "eval_seconds")


def sample(memory=2.0, power=100.0, shared=False) -> GpuSample:
    return GpuSample(process_memory_gib=memory, utilization_percent=50.0, power_watts=power, shared=shared)


def tiny_run(folder=None, **dotted) -> TrainingRun:
    defaults = {"encoder": "tiny", "epochs": 2, "tasks": ["sst"], "data.max_train_rows": 32, "data.max_dev_rows": 20}
    return TrainingRun(TrialConfig.model_validate(nest({**defaults, **dotted})), process=Process(), folder=folder)


def metered(*readings, **dotted) -> list[dict]:
    reader = FakeGpuReader(readings) if readings else None
    return [epoch.metrics for epoch in metered_epochs(tiny_run(**dotted), reader=reader)]


def test_without_a_gpu_its_metrics_are_null_and_the_others_are_measured():
    for epoch in metered():
        assert [name for name, metric in METRICS.items() if metric.needs_gpu and epoch[name] is not None] == []
        assert all(epoch[name] > 0 for name in EVERYWHERE)


def test_every_metric_that_an_objective_can_name_is_reported():
    for epoch in (*metered(), *metered(sample())):
        assert set(METRICS) <= set(epoch) and "sst" in epoch


def test_readings_of_the_gpu_are_in_every_epoch():
    started = time.monotonic()
    first, last = metered(sample())
    elapsed = time.monotonic() - started
    for epoch in (first, last):
        assert (epoch["peak_memory_gib"], epoch["gpu_utilization_mean"], epoch["gpu_utilization_peak"]) == (2, 50, 50)
    # 100 W throughout: 0.1 kJ a second, of the training and not of the scoring.
    counted = last["energy_kj"] / 0.1
    assert last["train_seconds"] <= counted + 1e-3
    assert counted + last["eval_seconds"] <= elapsed
    assert last["energy_kj"] > first["energy_kj"] > 0


def test_what_other_processes_took_is_in_every_epoch_and_in_the_probe():
    run = tiny_run(**{"data.max_train_rows": 128, "batch_size": 8})
    probe, *epochs = metered_epochs(run, probe=ProbeConfig(steps=3, warmup_steps=1))
    assert all(0 <= each.metrics["others_cpus"] <= psutil.cpu_count() for each in (probe, *epochs))
    assert "others_cpus" not in probe.projection


def test_totals_never_fall_from_one_epoch_to_the_next():
    falling = [sample(memory=memory) for memory in (3.0, 1.0)]
    epochs = metered(*falling, epochs=3)
    for name in ("peak_memory_gib", "energy_kj", *EVERYWHERE):
        values = [epoch[name] for epoch in epochs]
        assert values == sorted(values), name
    assert epochs[-1]["peak_memory_gib"] == 3.0


def test_a_gpu_that_is_lost_ends_its_metrics_and_not_the_run():
    """The totals up to then would look like those of a cheaper trial."""
    lost = GpuReadError("GPU-1 fell off the bus")
    with pytest.warns(RuntimeWarning, match="GPU-1 fell off the bus"):
        reader = FakeGpuReader([*[sample()] * 3, lost])
        epochs = list(metered_epochs(tiny_run(), reader=reader))
    assert len(epochs) == 2
    assert [epochs[-1].metrics[name] for name in ON_THE_GPU] == [None] * 4
    assert "GPU-1 fell off the bus" in epochs[-1].gpu_problem
    assert epochs[-1].metrics["train_seconds"] > 0


def test_only_the_metric_that_the_gpu_cannot_read_is_null():
    reader = FakeGpuReader([sample(power=None)])
    *_, last = metered_epochs(tiny_run(), reader=reader)
    assert last.metrics["energy_kj"] is None and last.metrics["peak_memory_gib"] == 2.0
    assert "power" in last.gpu_problem


def test_a_shared_gpu_has_no_energy_of_one_trial():
    """It has one power meter for all who compute on it."""
    [alone], [shared] = metered(sample(), epochs=1), metered(sample(shared=True), epochs=1)
    assert (alone["gpu_shared"], shared["gpu_shared"]) == (0, 1)
    assert alone["energy_kj"] > 0 and shared["energy_kj"] is None
    assert shared["peak_memory_gib"] == 2.0


def test_a_process_that_nvml_never_listed_has_no_memory_rather_than_zero():
    assert metered(sample(memory=0.0), epochs=1)[0]["peak_memory_gib"] is None


def test_metering_does_not_change_the_run():
    losses = [[epoch["train_loss"] for epoch in epochs] for epochs in (metered(), metered(sample()))]
    assert losses[0] == losses[1]


def test_the_last_epoch_is_marked_and_the_reader_is_closed():
    reader = FakeGpuReader([sample()])
    epochs = metered_epochs(tiny_run(epochs=3), reader=reader)
    assert [epoch.is_last for epoch in epochs] == [False, False, True]
    assert reader.closed


def test_a_run_that_is_stopped_between_epochs_stops_its_meter():
    """Tune stops a trial after any epoch, and its actor continues with the next trial."""
    reader = FakeGpuReader([sample()])
    epochs = metered_epochs(tiny_run(epochs=3), reader=reader)
    next(epochs)
    assert not reader.closed
    epochs.close()
    reads = reader.reads
    time.sleep(0.25)
    assert reader.closed and reader.reads == reads


def test_the_checkpoint_has_the_scores_of_its_epoch_and_the_costs_of_the_whole_run(tmp_path):
    """A model costs all that was spent to get it, later epochs included."""
    costs = ("train_seconds", "eval_seconds", "cpu_seconds", "energy_kj", "peak_memory_gib")
    epochs = []
    # A rate that changes nothing: of equal epochs the first is kept.
    run = tiny_run(tmp_path, epochs=3, learning_rate=1e-12)
    for epoch in metered_epochs(run, reader=FakeGpuReader([sample()])):
        epochs.append(epoch.metrics)
        best = max(epochs, key=lambda metrics: metrics["dev_score"])
        written = json.loads((tmp_path / "checkpoint" / "metrics.json").read_text())
        assert written == {
            **best,
            **{name: written[name] for name in written if name in METRICS and METRICS[name].unit},
            "others_cpus": epoch.metrics["others_cpus"],
        }
        assert {name: written[name] for name in costs} == {name: epoch.metrics[name] for name in costs}
    assert written["epoch"] == 1 and written["train_seconds"] > epochs[0]["train_seconds"]


def test_a_cpu_has_no_reader_and_no_problem():
    assert open_gpu_reader(torch.device("cpu")) == (None, None)
    assert next(metered_epochs(tiny_run())).gpu_problem is None
