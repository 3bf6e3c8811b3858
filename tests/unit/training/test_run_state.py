"""A run that was killed continues as if nothing had happened; a state that cannot be used is left aside."""

import json
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from ranks import train_in_ranks, train_in_ranks_twice
from safetensors.torch import load_file

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.resources import meter
from mtbert_ray.resources.node_cpu import CpuTotals, NodeCpu
from mtbert_ray.resources.usage import Usage
from mtbert_ray.training import run_state
from mtbert_ray.training.checkpoint import WEIGHTS_NAME, read_metrics
from mtbert_ray.training.loop import CHECKPOINT_NAME, TrainingRun
from mtbert_ray.training.metering import metered_epochs
from mtbert_ray.training.process import Process
from mtbert_ray.training.run_state import RunState

SMALL = {
    "encoder": "tiny",
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "data.max_train_rows": 40,
    "data.max_dev_rows": 30,
}
SMART = {"smart.tasks": ["sst", "sts"], "smart.steps": 1, "smart.epsilon": 0.1, "smart.step_size": 0.05}
METHODS = [
    {},
    {"task_order": "sequential", "pair_encoding": "separate", "accumulation_steps": 2, "max_grad_norm": 0.5},
    {"adapter.kind": "lora", **SMART},
    {"adapter.kind": "dora", "adapter.initialization": "pissa", "schedule": "constant"},
    {"finetune": "heads_only", "hidden_layers": 1},
]
COSTS = ("seconds", "peak_rss_gib", "others_cpus")


class KilledError(Exception):
    """Ends a run without anything being said."""


def config_of(**dotted) -> TrialConfig:
    return TrialConfig.model_validate(nest({**SMALL, **dotted}))


def results(metrics: list[dict]) -> list[dict]:
    """All but what a run took."""
    return [{name: value for name, value in epoch.items() if not name.endswith(COSTS)} for epoch in metrics]


def attempt(config: TrialConfig, folder: Path, *, die_at: int | None = None, **options) -> list[dict]:
    """Run in a folder until the step where it dies, and return the epochs that it reported."""

    def on_step(step: int, total: int) -> None:
        if step == die_at:
            raise KilledError

    state = RunState(folder / "state", config, Process(), **options)
    reported = []
    try:
        for epoch in metered_epochs(
            TrainingRun(config, process=Process(), folder=folder, on_step=on_step, state=state)
        ):
            reported.append(epoch.metrics)  # noqa: PERF401  # What came before the kill counts.
    except KilledError:
        pass
    return reported


OFTEN = {"minutes": 1e-9}
"""A state within an epoch is due at every step."""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("within_epochs", [False, True])
def test_a_run_that_was_killed_twice_ends_as_one_that_was_not(tmp_path, method, within_epochs):
    """Bit for bit: losses, scores, and the weights of the best epoch. An epoch has 15 steps."""
    config, options = config_of(**method), OFTEN if within_epochs else {}
    whole = attempt(config, tmp_path / "whole")
    torch.rand(7)  # Another process would have drawn something else by now.
    first = attempt(config, tmp_path / "killed", die_at=20, **options)
    second = attempt(config, tmp_path / "killed", die_at=39, **options)
    third = attempt(config, tmp_path / "killed", **options)
    assert results(first) == results(whole[:1])
    assert results(second) == results(whole[:2]), "what was reported last comes again"
    assert results(third) == results(whole[1:])
    weights = [load_file(tmp_path / name / CHECKPOINT_NAME / WEIGHTS_NAME) for name in ("whole", "killed")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    kept = [read_metrics(tmp_path / name / CHECKPOINT_NAME) for name in ("whole", "killed")]
    assert results(kept)[0] == results(kept)[1]


@pytest.mark.parametrize(("options", "redone"), [({}, 15), (OFTEN, 1)])
def test_no_more_is_trained_again_than_was_promised(tmp_path, options, redone):
    steps = []
    config = config_of()
    attempt(config, tmp_path, die_at=30 - 1, **options)
    state = RunState(tmp_path / "state", config, Process(), **options)
    run = TrainingRun(config, process=Process(), on_step=lambda step, total: steps.append(step), state=state)
    list(metered_epochs(run))
    assert steps == list(range(28 - 28 % redone + 1, 46))


def test_costs_add_up_over_the_attempts(tmp_path):
    """Each step takes a second of a clock of the test's, and a start takes a thousand."""
    config, at = config_of(epochs=2), 0.0

    def run_until(die_at: int | None) -> list[dict]:
        nonlocal at
        at += 1000

        def on_step(step: int, total: int) -> None:
            nonlocal at
            at += 1
            if step == die_at:
                raise KilledError

        state = RunState(tmp_path / "state", config, Process())
        run = TrainingRun(config, process=Process(), on_step=on_step, state=state, clock=lambda: at)
        reported = []
        with suppress(KilledError):
            for epoch in metered_epochs(run):
                reported.append(epoch.metrics)  # noqa: PERF401  # What came before the kill counts.
        return reported

    (first,) = run_until(20)
    again, second = run_until(None)
    assert first["train_seconds"] == again["train_seconds"] == 15 and second["train_seconds"] == 30
    assert second["cpu_seconds"] > first["cpu_seconds"] > 0
    assert second["peak_rss_gib"] >= first["peak_rss_gib"]


def test_what_others_took_is_over_all_attempts(tmp_path, monkeypatch):
    """The first attempt has a node that is busy, the second one that is not."""
    config, at, own, node = config_of(epochs=2), [0.0], [0.0], [0.0]

    def run_until(die_at: int | None, node_seconds: float) -> list[dict]:
        def on_step(step: int, total: int) -> None:
            at[0], own[0], node[0] = at[0] + 1, own[0] + 1, node[0] + node_seconds
            if step == die_at:
                raise KilledError

        def totals(read, **_):
            return CpuTotals(lambda: NodeCpu(seconds=node[0], counted="a"), own=lambda: own[0], clock=lambda: at[0])

        monkeypatch.setattr(meter, "CpuTotals", totals)
        state = RunState(tmp_path / "state", config, Process())
        run = TrainingRun(config, process=Process(), on_step=on_step, state=state)
        reported = []
        with suppress(KilledError):
            for epoch in metered_epochs(run):
                reported.append(epoch.metrics)  # noqa: PERF401  # What came before the kill counts.
        return reported

    [first] = run_until(20, 3.0)
    again, second = run_until(None, 1.0)
    assert first["others_cpus"] == again["others_cpus"] == 2.0
    assert second["others_cpus"] == 1.0, "15 steps beside two CPUs' work, then 15 alone"


def test_two_ranks_continue_together(tmp_path):
    config = config_of(batch_size=15, **{"adapter.kind": "lora"})
    (tmp_path / "whole").mkdir()
    whole = train_in_ranks(config, tmp_path / "whole")
    again = train_in_ranks_twice(config, tmp_path / "twice", epochs_before=2)
    for of_rank, twice in zip(whole, again, strict=True):
        assert results(twice) == results([of_rank[0], of_rank[1], of_rank[1], of_rank[2]])
    last = [load_file(tmp_path / name / "ranks" / "last.safetensors") for name in ("whole", "twice")]
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])


class TestAStateThatIsNotTaken:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        attempt(config_of(), tmp_path, die_at=20)
        return tmp_path

    @staticmethod
    def load(folder: Path, config: TrialConfig | None = None, process: Process | None = None, **options):
        return RunState(folder / "state", config or config_of(), process or Process(), **options).load()

    def test_as_it_was_saved_it_is_taken(self, folder):
        assert self.load(folder, min_epochs=1)["progress"].num_ended == 1

    def test_of_another_config(self, folder):
        assert self.load(folder, config_of(learning_rate=2e-3)) is None

    def test_of_fewer_epochs_than_are_known(self, folder):
        assert self.load(folder, min_epochs=2) is None

    @pytest.mark.parametrize("keep", [0, 10, 0.5, 0.999])
    def test_cut_short(self, folder, caplog, keep):
        (file,) = (folder / "state").glob("*.pt")
        content = file.read_bytes()
        file.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
        assert self.load(folder) is None
        assert "starts over" in caplog.text

    def test_whose_weights_are_damaged(self, folder, caplog):
        """A bit of one number, which torch would load."""
        (file,) = (folder / "state").glob("*.pt")
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        assert self.load(folder) is None
        assert "damaged" in caplog.text

    def test_of_another_release(self, folder, caplog, monkeypatch):
        monkeypatch.setattr(run_state, "version", lambda package: "0.0.9")
        assert self.load(folder) is None
        assert "another config or version" in caplog.text

    def test_on_a_node_that_does_not_have_it(self, tmp_path, caplog):
        assert self.load(tmp_path) is None and not caplog.text, "a new trial has none"
        assert self.load(tmp_path, min_epochs=1) is None
        assert "there is none on this node" in caplog.text

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "{}", '{"step": "..", "epochs": 1, "config": 1, "world_size": 1}', "null", "7"]
    )
    def test_with_a_damaged_list(self, folder, text):
        (folder / "state" / "complete.json").write_text(text)
        assert self.load(folder) is None

    def test_whose_file_is_gone(self, folder):
        for file in (folder / "state").glob("*.pt"):
            file.unlink()
        assert self.load(folder) is None

    def test_a_save_that_was_cut_off_leaves_the_one_before(self, folder):
        """Its files are there, but not yet what says that they are all there."""
        complete = json.loads((folder / "state" / "complete.json").read_text())
        (file,) = (folder / "state").glob("*.pt")
        file.with_name("step-30-epochs-2.rank-0.pt").write_bytes(b"half")
        file.with_name("step-30-epochs-2.rank-0.pt.new").write_bytes(b"half")
        assert self.load(folder)["progress"].step == complete["step"] == 15
        attempt(config_of(), folder, die_at=40)
        assert [path.name for path in (folder / "state").glob("*.pt*")] == ["step-30-epochs-2.rank-0.pt"]


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("seconds_a_step", [0.001, 1.0, 10.0, 45.0, 4000.0])
def test_a_state_within_an_epoch_is_due_about_when_it_was_promised(tmp_path, ranks, seconds_a_step):
    """Ten minutes, at any pace; ranks, of which one is slower, ask each other seldom and all at the same steps."""
    now, asked, saved = 0.0, [], [0.0]

    class Ranks(Process):
        def gather(self, value):
            asked.append(step)
            return [value, tuple(part * 1.5 for part in value)][: min(2, ranks)]

    state = RunState(tmp_path, config_of(), Ranks(), minutes=10, clock=lambda: now)
    for step in range(1, 5000):
        now += seconds_a_step
        if state.is_due(step):
            saved.append(now)
            state._saved_at = now
    slowest = 1.5 if ranks > 1 else 1.0
    longest = max((after - before for before, after in pairwise(saved)), default=0.0)
    assert longest * slowest <= 600 * 1.1 + 2 * seconds_a_step * slowest
    assert len(saved) > 1 or now * slowest < 600
    assert seconds_a_step > 0.1 or len(asked) <= 5000 / 200 + 5


def usage(**values) -> Usage:
    return Usage(**{"peak_rss_gib": 1.0, "cpu_seconds": 2.0, **values})


def test_usages_of_attempts_add_up():
    on_gpu = {"peak_memory_gib": 3.0, "gpu_utilization_peak": 80.0, "energy_kj": 5.0, "gpu_shared": False}
    first = usage(**on_gpu, gpu_utilization_mean=50.0, gpu_seconds_counted=30.0)
    second = usage(
        **on_gpu | {"peak_memory_gib": 4.0}, gpu_utilization_mean=90.0, gpu_seconds_counted=10.0, peak_rss_gib=0.5
    )
    both = second.after(first)
    assert both == usage(
        **on_gpu | {"peak_memory_gib": 4.0, "energy_kj": 10.0},
        gpu_utilization_mean=60.0,
        gpu_seconds_counted=40.0,
        cpu_seconds=4.0,
    )


def test_what_one_attempt_does_not_know_is_not_known():
    known = usage(peak_memory_gib=3.0, gpu_utilization_mean=50.0, energy_kj=5.0, gpu_seconds_counted=1.0)
    both = usage(gpu_problem="the GPU is gone").after(known)
    assert (both.peak_memory_gib, both.gpu_utilization_mean, both.energy_kj) == (None, None, None)
    assert both.gpu_problem == "the GPU is gone"
