"""The probe: projections of runs whose clock is known, and a run that the probe does not change."""

from contextlib import contextmanager

import pytest
import torch
from clock import Clock
from fake_gpu import FakeGpuReader
from ranks import probe_in_ranks

from mtbert_ray.config import ProbeConfig, TrialConfig, nest
from mtbert_ray.data.batching import epoch_batches
from mtbert_ray.metrics import METRICS
from mtbert_ray.models.state import trainable_state
from mtbert_ray.resources.gpu import GpuSample
from mtbert_ray.training.embedding_cache import cache_embeddings
from mtbert_ray.training.evaluate import EpochResult
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import MeteredEpoch, MeteredProbe, metered_epochs
from mtbert_ray.training.probe import ProbeResult
from mtbert_ray.training.process import Process
from mtbert_ray.trial import projection

PROBE = ProbeConfig(steps=8, warmup_steps=2)


def tiny_config(**dotted) -> TrialConfig:
    defaults = {
        "encoder": "tiny",
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "tasks": ["sst", "sts"],
        "data.max_train_rows": 22,
        "data.max_dev_rows": 12,
    }
    return TrialConfig.model_validate(nest({**defaults, **dotted}))


def clocked_run(config: TrialConfig, costs: dict[str, tuple[float, float]]) -> tuple[TrainingRun, Clock]:
    """Return a run whose steps take, by its clock, so many seconds a step and a token of each task; nothing else does.

    The first two steps take a minute longer.
    """
    clock = Clock()
    seconds: list[float] = []

    def on_step(step: int, total: int) -> None:
        clock.at += seconds[step - 1] + (60 if step <= 2 else 0)

    run = TrainingRun(config, process=Process(), on_step=on_step, clock=clock)
    for epoch in range(1, config.epochs + 1):
        for taken in epoch_batches(
            run.train_splits,
            batch_size=config.batch_size,
            task_order=config.task_order,
            seed=config.seed,
            epoch=epoch,
        ):
            by_step, by_token = costs[taken.task]
            tokens = sum(int(sentence["attention_mask"].sum()) for sentence in taken.sentences)
            seconds.append(by_step + by_token * tokens)
    return run, clock


COSTS = {"sst": (0.1, 0.01), "sts": (0.0, 0.1)}
"""Joint pairs of sts are all cut to one length here, which leaves open what a step alone takes."""


@pytest.mark.parametrize("pair_encoding", ["joint", "separate"])
def test_the_projection_is_the_whole_run_s_training_time(pair_encoding):
    """Two tasks, one of them ten times as slow; warm-up steps that are slower still; a pause that is not training."""
    config = tiny_config(pair_encoding=pair_encoding)
    run, clock = clocked_run(config, COSTS)
    results = []
    for result in run.epochs(probe=PROBE):
        results.append(result)
        clock.at += 1000.0  # Whatever the caller does between two results.
    probe, *epochs = results
    assert isinstance(probe, ProbeResult) and all(isinstance(epoch, EpochResult) for epoch in epochs)
    assert (probe.step, [epoch.step for epoch in epochs]) == (10, [12, 24])
    assert probe.train_seconds > 120
    assert probe.projected_train_seconds == pytest.approx(epochs[-1].train_seconds, rel=1e-9)


@pytest.mark.parametrize(("of_sts", "is_right"), [((0.1, 0.01), True), ((1.0, 0.1), False)])
def test_a_later_task_is_projected_at_the_pace_of_the_first(of_sts, is_right):
    config = tiny_config(task_order="sequential", **{"data.max_train_rows": 44})
    run, _ = clocked_run(config, {"sst": (0.1, 0.01), "sts": of_sts})
    probe, *_, last = run.epochs(probe=PROBE)
    tokens = sum(int(split.lengths.sum()) for split in run.train_splits.values())
    assert probe.projected_train_seconds == pytest.approx(2 * (22 * 0.1 + tokens * 0.01) + 120)
    assert (probe.projected_train_seconds == pytest.approx(last.train_seconds)) is is_right


@pytest.mark.parametrize(
    ("probe", "is_probed"),
    [
        (None, False),
        (ProbeConfig(steps=0, warmup_steps=0), False),
        (ProbeConfig(steps=9, warmup_steps=2), True),
        (ProbeConfig(steps=10, warmup_steps=2), False),  # The first epoch has 12 steps.
        (ProbeConfig(steps=2, warmup_steps=10), False),
        (ProbeConfig(steps=11, warmup_steps=0), True),
        (ProbeConfig(), False),
    ],
)
def test_a_run_has_one_probe_if_its_first_epoch_is_longer(probe, is_probed):
    results = list(metered_epochs(TrainingRun(tiny_config(), process=Process()), probe=probe))
    kinds = [MeteredProbe] * is_probed + [MeteredEpoch] * 2
    assert [type(result) for result in results] == kinds
    if is_probed:
        assert results[0].steps == probe.steps + probe.warmup_steps


SMART = {"smart.tasks": ["sts"], "smart.steps": 1, "smart.epsilon": 0.1, "accumulation_steps": 2}
LORA = {"adapter.kind": "lora", "task_order": "sequential"}


@pytest.mark.parametrize("hyperparameters", [{}, SMART, LORA])
def test_a_probe_does_not_change_the_run(hyperparameters):
    """Dropout is on: one draw more or less would change every weight."""
    runs = [TrainingRun(tiny_config(**hyperparameters), process=Process()) for _ in range(2)]
    plain = [result.metrics for result in metered_epochs(runs[0])]
    probed = [result.metrics for result in metered_epochs(runs[1], probe=PROBE)]
    assert len(probed) == len(plain) + 1
    for without, within in zip(plain, probed[1:], strict=True):
        same = [name for name in without if name not in METRICS or METRICS[name].over_time in ("varies", "fixed")]
        same.remove("others_cpus")
        assert [without[name] for name in same] == [within[name] for name in same]
    for name, weights in trainable_state(runs[0].model).items():
        assert torch.equal(weights, trainable_state(runs[1].model)[name]), name


def test_a_meter_does_not_count_while_the_caller_has_the_probe():
    counting: list[bool] = [False]

    @contextmanager
    def while_training():
        counting.append(True)
        yield
        counting.append(False)

    run = TrainingRun(tiny_config(epochs=1), process=Process())
    for _ in run.epochs(while_training=while_training, probe=PROBE):
        assert counting[-1] is False
    assert counting == [False, True, False, True, False]


def watched(power: float = 100.0, memory: float = 2.0, shared: bool = False) -> FakeGpuReader:
    return FakeGpuReader(
        [GpuSample(process_memory_gib=memory, utilization_percent=50.0, power_watts=power, shared=shared)]
    )


def test_a_probe_has_the_costs_so_far_and_those_of_the_whole_run():
    run, _ = clocked_run(tiny_config(), COSTS)
    probe, *_, last = metered_epochs(run, probe=PROBE, reader=watched())
    spent, projected = probe.metrics, probe.projection
    assert projected["train_seconds"] == pytest.approx(last.metrics["train_seconds"])
    for total in ("energy_kj", "cpu_seconds"):
        assert 0 < spent[total] < projected[total]
        assert projected[total] / spent[total] == pytest.approx(projected["train_seconds"] / spent["train_seconds"])
    for name in ("peak_memory_gib", "peak_rss_gib", "trainable_parameters", "trainable_percent"):
        assert projected[name] == spent[name]
    assert (spent["peak_memory_gib"], spent["eval_seconds"]) == (2.0, 0)
    for name in ("trainable_parameters", "trainable_percent"):
        assert spent[name] == last.metrics[name]
    # This process holds no GPU, whatever the reader returns.
    assert projected["gpu_seconds"] is None
    assert probe.gpu_problem is None


def test_a_projection_holds_costs_only():
    """Not those of evaluation: nothing was evaluated."""
    probe = next(metered_epochs(TrainingRun(tiny_config(), process=Process()), probe=PROBE))
    costs = {name for name, metric in METRICS.items() if metric.over_time != "varies"}
    costs -= {"eval_seconds", "eval_once_seconds", "train_once_seconds"}
    assert set(probe.projection) == costs
    assert set(probe.metrics) > costs and not {"sst", "dev_score", "train_loss"} & set(probe.metrics)


def test_a_cost_that_was_not_measured_is_not_projected():
    probe = next(
        metered_epochs(TrainingRun(tiny_config(), process=Process()), probe=PROBE, reader=watched(shared=True))
    )
    assert probe.metrics["energy_kj"] is None and probe.projection["energy_kj"] is None
    assert "another process computed on the GPU" in probe.gpu_problem


def test_without_a_pace_for_every_task_there_are_no_totals_but_peaks_and_parameters():
    smart = {"smart": {"tasks": ["sts"], "epsilon": 0.01}, "task_order": "sequential"}
    probe = next(
        metered_epochs(TrainingRun(tiny_config(**smart), process=Process()), probe=ProbeConfig(steps=2, warmup_steps=0))
    )
    kept = {name for name, metric in METRICS.items() if metric.over_time in ("fixed", "peak")}
    kept -= {"eval_once_seconds", "train_once_seconds"}
    assert set(probe.projection) == kept and probe.metrics["train_seconds"] > 0


def test_filling_the_embedding_cache_is_not_projected_on_every_epoch():
    """The first of ten epochs has nearly all of the work: a projection of ten times that would stop the trial."""
    config = tiny_config(finetune="heads_only", epochs=10, **{"data.max_train_rows": 200, "hidden_layers": 0})
    clock = Clock()

    def work(*_: object) -> None:
        clock.at += 0.001

    def slow(*arguments, **options):
        clock.at += 50.0
        return cache_embeddings(*arguments, **options)

    run = TrainingRun(config, process=Process(), on_step=work, clock=clock)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtbert_ray.training.loop.cache_embeddings", slow)
        probe, *epochs = metered_epochs(run, probe=PROBE)
    whole = epochs[-1].metrics
    assert whole["train_seconds"] < 60 and (whole["train_once_seconds"], whole["eval_once_seconds"]) == (50.0, 50.0)
    done = [epoch.metrics for epoch in epochs]
    projections = [projection(done[:number], ["sst", "sts"], num_epochs=10) for number in range(1, 11)]
    for projected in (probe.projection, *projections):
        assert projected["train_seconds"] == pytest.approx(whole["train_seconds"], rel=0.3)
    for projected in projections:
        assert projected["eval_seconds"] == pytest.approx(whole["eval_seconds"])


def test_two_ranks_agree_on_the_slower_one_s_projection(tmp_path):
    """Real processes that talk over gloo; by its own clock the second one takes three times as long a step."""
    ranks = probe_in_ranks(tiny_config(epochs=1), tmp_path, seconds_a_step=[1.0, 3.0])
    assert ranks[0] == ranks[1]
    probe, epoch = ranks[0]
    assert probe["steps"] == 7
    assert probe["metrics"]["train_seconds"] == pytest.approx(7 * 3.0)
    # Twelve steps of three seconds, of which each task's tokens are half a rank's; exact, as a step costs the same.
    assert probe["projection"]["train_seconds"] == pytest.approx(12 * 3.0)
    assert epoch["metrics"]["train_seconds"] == pytest.approx(12 * 3.0)
    assert probe["projection"]["cpu_seconds"] == pytest.approx(probe["metrics"]["cpu_seconds"] * 12 / 7)
