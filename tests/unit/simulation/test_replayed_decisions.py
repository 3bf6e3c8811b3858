"""What `replay` decides on a journal is what the sweep itself would have decided."""

from pathlib import Path

import pytest
from recorded_sweep import RecordedSweep

from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.simulation.clock import Outcome, simulate
from mtbert_ray.simulation.request import ReplayRequest, prepare
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.parameters import Choice
from mtbert_ray.study.study import make_pruner

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


def recorded(folder: Path, **space) -> Path:
    """Nine epochs each: one over the constraint by a fifth, one that is best, others that it dominates or not."""
    sweep = RecordedSweep(folder, objectives=OBJECTIVES, fixed={"tasks": [TOPIC], "epochs": 9}, **space)
    for number, (top, seconds) in enumerate([(0.7, 120), (1.0, 50), (0.9, 95), (0.8, 45), (0.6, 48), (0.9, 40)]):
        sweep.trial(f"t{number}", [top * (5 + epoch) / 14 for epoch in range(1, 10)], seconds=seconds / 9)
    return sweep.finish()


def stopped_by_the_sweep(folder: Path) -> dict[int, int]:
    """Trial -> the epoch after which the sweep's own pruner would have stopped it, one after the other."""
    sweep = read_journal(folder)
    space = SearchSpace.model_validate({**sweep.started.space, "scheduler": "pareto"})
    pruner = make_pruner(space, sweep.started.objectives)
    stopped = {}
    for number, trial in enumerate(sweep.trials):
        for done in range(1, trial.num_epochs):
            if pruner.prune(trial.trial_id, done, trial.projection_after(done)) is not None:
                stopped[number] = done
                break
        else:
            pruner.end(trial.trial_id, trial.num_epochs, trial.projection, finished=True)
    return stopped


def stopped_by_replay(folder: Path, **options) -> dict[int, int]:
    """The same of a replay with one worker, whose trials end in the order of the journal."""
    return {number: trial.epochs for number, trial in enumerate(replayed(folder, **options).trials) if trial.stopped}


def replayed(folder: Path, **options) -> Outcome:
    replay = prepare(ReplayRequest(journals=(folder,), rules=("pareto",), seeds=1, **options))
    (problem,), (setup,) = replay.problems, replay.setups
    simulation = problem.start(setup.searcher, 0, lambda: setup.pruner.start(seed=0, max_epochs=problem.max_epochs))
    mean_seconds = problem.mean_seconds
    return simulate(simulation.study, simulation.curve_of, simulation.clock, workers=1, mean_seconds=mean_seconds)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        # The first is over its limit; the third is dominated on cost by the second: no topic score is above 1.
        ({}, {0: 1, 2: 1, 4: 1}),
        ({"probe": {"margin": 0.5}}, {4: 1}),  # With this much room for error only ranks decide, at the first rung.
        ({"halving": {"grace_period": 3}}, {0: 1, 2: 1, 4: 3}),
        ({"halving": {"grace_period": 2, "reduction_factor": 2, "keep_quantile": 0.2}}, {0: 1, 2: 1, 4: 2}),
    ],
    ids=str,
)
def test_replay_stops_the_trials_that_the_sweep_would_have_stopped(tmp_path, space, expected):
    folder = recorded(tmp_path / "s", **space)
    assert stopped_by_the_sweep(folder) == expected
    assert stopped_by_replay(folder) == expected


def test_set_changes_what_the_sweep_asked_for_and_nothing_else(tmp_path):
    one = recorded(tmp_path / "one", halving={"grace_period": 3})
    other = recorded(tmp_path / "other", halving={"grace_period": 3, "share_to_end": 1.0})
    assert stopped_by_replay(one) != stopped_by_replay(other)
    assert stopped_by_replay(one, overrides=("share_to_end=1",)) == stopped_by_replay(other)


def test_sweeps_that_searched_differently_are_pruned_as_the_first_one(tmp_path):
    first = recorded(tmp_path / "first", halving={"grace_period": 3})
    second = recorded(tmp_path / "second", search={"dropout": Choice(values=(0.1, 0.2))})
    replay = prepare(ReplayRequest(journals=(first, second), rules=("pareto",), seeds=1))
    assert isinstance(replay.recorded.space, str)
    assert replay.setups[0].pruner.halving.grace_period == 3
