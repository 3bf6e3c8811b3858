"""A scheduler that was killed at any moment decides as if it had not been."""

import logging
from pathlib import Path

import cloudpickle
import pytest
from fake_tune import AXES, FakeTrial, Run, run
from hypothesis import given, settings
from hypothesis import strategies as st

from mtbert_ray.errors import ConfigError, JournalError
from mtbert_ray.ray_backend.scheduler import STATE_NAME
from mtbert_ray.study.pruning.rungs import HalvingConfig


class TestStateInTheExperimentsFolder:
    def test_a_new_scheduler_takes_it_when_ray_adds_a_trial_that_it_knows(self, tmp_path: Path):
        killed = run(folder=tmp_path)
        killed.report("1", 1, accuracy=0.9, seconds=1.0)
        assert killed.report("2", 1, accuracy=0.1, seconds=9.0) == "STOP"
        restored = run(folder=tmp_path)
        decisions = restored.scheduler.decisions
        for name in "21":
            restored.add(name)
        assert decisions == killed.scheduler.decisions
        assert restored.report("2", 1, accuracy=0.1, seconds=9.0) == "STOP"
        assert restored.report("1", 1, accuracy=0.9, seconds=1.0) == "CONTINUE"
        assert restored.report("3", 1, accuracy=0.1, seconds=9.0) == "STOP"
        assert restored.scheduler.decisions["t3"].dominated_by == ("t1",)

    def test_everything_that_decides_is_in_it(self, tmp_path: Path):
        options = {
            "max_t": 9,
            "folder": tmp_path,
            "halving": HalvingConfig(grace=2),
            "constraints": {"memory_gib": 8.0},
        }
        killed = run(AXES, **options)
        killed.report("first", 1, accuracy=2.0, seconds=1.0, memory_gib=1.0)
        for iteration in (2, 6):
            killed.report("first", iteration, accuracy=2.0, seconds=1.0, memory_gib=1.0)
        killed.report("scored", 1, accuracy=2.5, seconds=2.0, memory_gib=1.0)
        killed.report("probed", 1, memory_gib=8.5)
        killed.add("ended")
        killed.complete("ended", 1, accuracy=3.0, seconds=3.0, memory_gib=1.0)
        restored = run(AXES, **options)
        for name in killed.trials:
            restored.add(name)
        # Its memory was told before the kill, and is beyond the limit by less than the margin.
        assert restored.report("probed", 2, accuracy=3.0, seconds=0.5) == "STOP"
        assert restored.scheduler.decisions["tprobed"].violation == pytest.approx(0.5 / 8)
        # It had told everything before, so that this is no probe.
        assert restored.report("scored", 2, memory_gib=100.0) == "CONTINUE"
        # Who ended rules out who costs more.
        assert restored.report("dear", 1, seconds=3.4, memory_gib=1.0) == "STOP"
        assert restored.scheduler.decisions["tdear"].dominated_by == ("tended",)
        # The second rung remembers who was there.
        assert restored.report("late", 6, accuracy=1.0, seconds=1.0, memory_gib=1.0) == "STOP"
        assert restored.scheduler.decisions["tlate"].dominated_by == ("tfirst",)

    def test_it_is_written_when_a_trial_goes_on_from_a_rung(self, tmp_path: Path):
        killed = run(folder=tmp_path)
        for iteration in (1, 3):
            killed.report("1", iteration, accuracy=0.9, seconds=1.0)
        restored = run(folder=tmp_path)
        restored.add("1")
        assert restored.report("2", 3, accuracy=0.1, seconds=9.0) == "STOP"

    def test_it_is_written_when_a_trial_has_told_everything(self, tmp_path: Path):
        options = {"folder": tmp_path, "halving": HalvingConfig(grace=2), "constraints": {"memory_gib": 8.0}}
        run(**options).report("1", 1, accuracy=0.9, seconds=1.0, memory_gib=1.0)
        restored = run(**options)
        restored.add("1")
        assert restored.report("1", 2, memory_gib=100.0) == "CONTINUE"

    def test_a_new_run_in_the_same_folder_does_not(self, tmp_path: Path):
        run(folder=tmp_path).report("1", 1, accuracy=0.9, seconds=1.0)
        assert run(folder=tmp_path).report("2", 1, accuracy=0.1, seconds=9.0) == "CONTINUE"

    def test_a_name_that_ray_gives_again_is_another_trial(self, tmp_path: Path):
        # Ray's snapshot was older than the kill: the searcher suggests a trial of that name anew.
        one = run(folder=tmp_path)
        one.report("1", 1, accuracy=0.9, seconds=1.0)
        assert one.report("2", 1, accuracy=0.1, seconds=9.0) == "STOP"
        del one.trials["2"]
        again = one.trials["fresh id"] = FakeTrial("fresh id", one.storage, name="t2")
        one.scheduler.on_trial_add(one, again)
        assert one.scheduler.decisions == {}
        assert one.report("fresh id", 1, accuracy=0.95, seconds=9.0) == "CONTINUE"

    def test_one_with_other_arguments_is_refused(self, tmp_path: Path):
        run(folder=tmp_path).add("1")
        with pytest.raises(ConfigError, match="was kept with max_resource 9, the scheduler now has 27"):
            run(folder=tmp_path, max_t=27).add("1")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "not the state of a scheduler"),
            ('{"version": 1, "trials": {}, "rule": {}}', "has version 1 .*, not 2"),
            ('{"version": 2}', "lacks its trials or its rule"),
            ('{"version": 2, "trials": {"1": "1"}, "rule": {}}', "is damaged"),
        ],
    )
    def test_a_damaged_or_foreign_file_is_refused(self, tmp_path: Path, text: str, message: str):
        (tmp_path / STATE_NAME).write_text(text)
        with pytest.raises(JournalError, match=message):
            run(folder=tmp_path).add("1")

    def test_a_folder_that_takes_no_file_is_told_once_and_stops_nothing(self, tmp_path: Path, caplog):
        one = run(folder=tmp_path / "file" / "below")
        (tmp_path / "file").write_text("")
        with caplog.at_level(logging.WARNING):
            one.report("1", 1, accuracy=0.9, seconds=1.0)
            assert one.report("2", 1, accuracy=0.1, seconds=9.0) == "STOP"
        assert len(caplog.records) == 1
        assert "the scheduler's state cannot be written" in caplog.text

    def test_save_and_restore(self, tmp_path: Path):
        one = run()
        one.report("1", 1, accuracy=0.9, seconds=1.0)
        one.report("2", 1, accuracy=0.1, seconds=9.0)
        one.scheduler.save(str(tmp_path / "state"))
        other = run()
        other.scheduler.restore(str(tmp_path / "state"))
        assert other.scheduler.decisions == one.scheduler.decisions
        assert other.report("3", 1, accuracy=0.1, seconds=9.0) == "STOP"


numbers = st.integers(0, 4).map(float)
# What happens next: whose turn it is, its values, what of them it tells, and whether the scheduler is killed before.
kinds = st.sampled_from(["all", "all", "costs", "score", "end"])
kills = st.sampled_from([None, None, "without checkpoints", "with checkpoints"])
steps = st.tuples(st.integers(0, 3), numbers, numbers, numbers, kinds, kills)


class Sweep:
    """Trials that tell what they are dealt, each from its next iteration on, until they are stopped or end."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.told: dict[str, list[dict]] = {}
        self.running: set[str] = set()
        self.run = self._new_run()

    def _new_run(self) -> Run:
        halving = HalvingConfig(grace=2)
        return run(AXES, max_t=8, halving=halving, folder=self.folder, constraints={"memory": 3.0}, probe_margin=0.0)

    def step(self, number: int, accuracy: float, seconds: float, memory: float, kind: str) -> str | None:
        name = str(number)
        if name not in self.told:
            self.run.add(name)
            self.told[name] = []
            self.running.add(name)
        elif name not in self.running:
            return None
        score, costs = {"accuracy": accuracy}, {"seconds": seconds, "memory": memory}
        metrics = score if kind == "score" else costs if kind == "costs" else score | costs
        self.told[name].append(metrics)
        iteration = len(self.told[name])
        answer = "END" if kind == "end" else self.run.report(name, iteration, **metrics)
        if answer != "CONTINUE":
            self.running.remove(name)
            self.run.complete(name, iteration, **metrics)
        return answer

    def kill_and_restore(self, *, from_start: bool) -> None:
        """Begin anew from the folder; trials that ran go on, or begin from their start and tell everything again."""
        self.run = self._new_run()
        for name in reversed(self.told):  # Ray adds the latest first.
            self.run.add(name)
        for name in sorted(self.running) if from_start else ():
            for iteration, metrics in enumerate(self.told[name], start=1):
                assert self.run.report(name, iteration, **metrics) == "CONTINUE"


@settings(max_examples=200)
@given(st.lists(steps, max_size=25))
def test_killed_at_any_points_it_decides_as_if_it_had_not_been(tmp_path_factory, events: list):
    whole, killed = Sweep(None), Sweep(tmp_path_factory.mktemp("killed"))
    for *event, kill in events:
        if kill is not None:
            killed.kill_and_restore(from_start=kill == "without checkpoints")
        assert killed.step(*event) == whole.step(*event)
    assert killed.run.scheduler.decisions == whole.run.scheduler.decisions


def test_it_travels_as_ray_pickles_it():
    one = run(length_of=lambda config: 9)
    one.report("1", 1, accuracy=0.9, seconds=1.0)
    copy = Run(cloudpickle.loads(cloudpickle.dumps(one.scheduler)))
    assert copy.report("2", 1, accuracy=0.1, seconds=9.0) == "STOP"
