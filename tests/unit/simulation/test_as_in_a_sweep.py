"""What `replay` decides on a journal is what the sweep itself would have decided."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from mtbert_ray.ray_backend.beginning import scheduler_of
from recorded_sweep import RecordedSweep

from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.simulation.clock import simulate
from mtbert_ray.simulation.request import ReplayRequest, prepare
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.parameters import Choice
from mtbert_ray.trial import projection

TOPIC = {
    "name": "topic",
    "kind": "classification",
    "num_classes": 3,
    "source": {"train": "a.csv", "dev": "b.csv", "columns": {"sentence1": "text", "label": "topic"}},
}
OBJECTIVES = {
    "topic": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=1000.0, constraint=100.0),
}


@dataclass(frozen=True)
class Trial:
    """What the scheduler reads of a Tune trial."""

    name: str
    config: dict
    trial_id: str = "abc"
    storage: None = None

    def __str__(self) -> str:
        return self.name


def recorded(folder: Path, **asked) -> Path:
    """Nine epochs each: one over the constraint by a fifth, one without a fault, and others that it outdoes or not."""
    fixed = {"tasks": [TOPIC], "epochs": 9}
    sweep = RecordedSweep(folder, objectives=OBJECTIVES, fixed=fixed, **asked)
    for number, (top, seconds) in enumerate([(0.7, 120), (1.0, 50), (0.9, 95), (0.8, 45), (0.6, 48), (0.9, 40)]):
        sweep.trial(f"t{number}", [top * (5 + epoch) / 14 for epoch in range(1, 10)], seconds=seconds / 9)
    return sweep.finish()


def stopped_by_scheduler(folder: Path) -> dict[str, int]:
    """Trial -> the epoch after which the sweep's own scheduler would have stopped it, one after the other."""
    sweep = read_journal(folder)
    space = SearchSpace.model_validate({**sweep.started.space, "scheduler": "pareto"})
    scheduler = scheduler_of(space, sweep.started.objectives)
    stopped = {}
    for trial in sweep.trials:
        told = Trial(name=trial.trial_id, config={"trial": trial.config})
        for done in range(1, len(trial.epochs) + 1):
            metrics = projection(trial.epochs[:done], trial.tasks, num_epochs=9)
            result = {**{f"projection/{name}": value for name, value in metrics.items()}, "epoch": done}
            if scheduler.on_trial_result(None, told, result) == "STOP":
                stopped[trial.trial_id] = done
                break
        else:
            scheduler.on_trial_complete(None, told, {**result, "done": True})
    return stopped


def stopped_by_replay(folder: Path, **options) -> dict[str, int]:
    """The same of a replay with one worker."""
    replay = prepare(ReplayRequest(journals=(folder,), rules=("pareto",), seeds=1, **options))
    (problem,), (setup,) = replay.problems, replay.setups
    trials, learns = problem.trials(setup.searcher, 0)
    rule = setup.rule.start(seed=0, max_epochs=problem.max_epochs)
    outcome = simulate(trials, learns, rule, workers=1, mean_seconds=problem.mean_seconds)
    return {trial.name: trial.epochs for trial in outcome.trials if trial.stopped}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        # t0 is over its limit; t2 is dominated_on_cost by t1, for no topic score is above 1.
        ({}, {"t0": 1, "t2": 1, "t4": 1}),
        ({"probe": {"margin": 0.5}}, {"t4": 1}),  # With this much room for error only rank speaks, at the first rung.
        ({"halving": {"grace_period": 3}}, {"t0": 1, "t2": 1, "t4": 3}),
        ({"halving": {"grace_period": 2, "reduction_factor": 2, "keep_quantile": 0.2}}, {"t0": 1, "t2": 1, "t4": 2}),
    ],
    ids=str,
)
def test_replay_stops_whom_the_scheduler_of_the_sweep_would_have_stopped(tmp_path, asked, expected):
    folder = recorded(tmp_path / "s", **asked)
    assert stopped_by_scheduler(folder) == expected
    assert stopped_by_replay(folder) == expected


def test_set_changes_what_the_sweep_asked_for_and_nothing_else(tmp_path):
    one = recorded(tmp_path / "one", halving={"grace_period": 3})
    other = recorded(tmp_path / "other", halving={"grace_period": 3, "share_to_end": 1.0})
    assert stopped_by_replay(one) != stopped_by_replay(other)
    assert stopped_by_replay(one, overrides=("share_to_end=1",)) == stopped_by_replay(other)


def test_sweeps_that_searched_differently_are_judged_as_the_first_one(tmp_path):
    first = recorded(tmp_path / "first", halving={"grace_period": 3})
    second = recorded(tmp_path / "second", search={"dropout": Choice(values=(0.1, 0.2))})
    replay = prepare(ReplayRequest(journals=(first, second), rules=("pareto",), seeds=1))
    assert isinstance(replay.recorded.space, str)
    assert replay.setups[0].rule.halving.grace_period == 3
