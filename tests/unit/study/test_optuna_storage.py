"""A sweep in an Optuna storage, as Optuna itself reads it."""

import subprocess
import sys
from datetime import datetime

import optuna
import pytest
from optuna.trial import TrialState
from recorded_sweep import RecordedSweep

from mtbert_ray.errors import UserError
from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.study.optuna_storage import write_to_optuna

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=1000.0, constraint=25.0),
}


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'sweeps.db'}"


@pytest.fixture
def recorded(tmp_path):
    recorded = RecordedSweep(tmp_path / "sweep", objectives=OBJECTIVES)
    recorded.trial("t0", [0.5, 0.7], values={"learning_rate": 1e-4, "adapter.kind": "lora", "adapter.rank": 4})
    recorded.trial("t1", [0.6, 0.8, 0.75])  # Thirty seconds are too many.
    recorded.trial("t2", [0.2], epochs=3, end="stopped")
    recorded.trial("t3", [0.3], epochs=3, end="failed")
    recorded.trial("t4", [0.4], epochs=3, end="running")
    return recorded


def study_of(url):
    return optuna.load_study(study_name="s", storage=url)


def test_states_values_and_parameters_are_those_of_the_sweep(recorded, url):
    sweep = read_journal(recorded.folder)
    written = write_to_optuna(sweep, url)
    assert (written.study_name, written.added, written.already_there, written.left_out) == ("s", 4, 0, 1)
    study = study_of(url)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["dev_score", "train_seconds"]
    complete, infeasible, pruned, failed = study.trials
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert complete.values == [pytest.approx(0.7), 20.0]
    assert complete.params == {"learning_rate": 1e-4, "adapter.kind": "lora", "adapter.rank": 4}
    assert complete.intermediate_values == {1: pytest.approx(0.5), 2: pytest.approx(0.7)}
    assert infeasible.values == [pytest.approx(0.8), 30.0]  # The best epoch's score.
    assert infeasible.params == {"learning_rate": 1e-4, "adapter.kind": "none"}
    assert pruned.intermediate_values == {1: pytest.approx(0.2)}
    assert pruned.user_attrs["reason"] == "epoch 1: dominated"
    assert failed.user_attrs["reason"] == "it broke"
    assert complete.user_attrs["trial_id"] == "t0" and complete.user_attrs["eval_seconds"] == 2.0
    first = sweep.trials[0]
    assert complete.datetime_start == datetime.fromtimestamp(first.started)
    assert complete.datetime_complete == datetime.fromtimestamp(first.ended)


def test_optuna_finds_the_front_of_the_feasible_trials(recorded, url):
    write_to_optuna(read_journal(recorded.folder), url)
    study = study_of(url)
    assert [trial.constraints for trial in study.trials[:2]] == [{"train_seconds": -5.0}, {"train_seconds": 5.0}]
    assert [trial.user_attrs["trial_id"] for trial in study.best_trials] == ["t0"]
    importance = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(), target=lambda trial: trial.values[1]
    )
    assert set(importance) == {"learning_rate", "adapter.kind", "adapter.rank"}


def test_distributions_are_those_of_the_space(recorded, url):
    write_to_optuna(read_journal(recorded.folder), url)
    assert study_of(url).trials[0].distributions == {
        "learning_rate": optuna.distributions.FloatDistribution(1e-5, 1e-3, log=True),
        "adapter.kind": optuna.distributions.CategoricalDistribution(("none", "lora")),
        "adapter.rank": optuna.distributions.IntDistribution(2, 16),
    }


def test_written_again_only_what_has_ended_since_is_added(recorded, url):
    write_to_optuna(read_journal(recorded.folder), url)
    recorded.trial("t5", [0.9])
    written = write_to_optuna(read_journal(recorded.folder), url)
    assert (written.added, written.already_there, written.left_out) == (1, 4, 1)
    again = write_to_optuna(read_journal(recorded.folder), url)
    assert (again.added, again.already_there) == (0, 5)
    assert [trial.user_attrs["trial_id"] for trial in study_of(url).trials] == ["t0", "t1", "t2", "t3", "t5"]


def test_a_study_of_another_sweep_is_not_written_into(recorded, url, tmp_path):
    write_to_optuna(read_journal(recorded.folder), url)
    other = RecordedSweep(tmp_path / "other", objectives=OBJECTIVES)
    other.trial("t9", [0.5])
    with pytest.raises(UserError, match=r"study 's' is not of this sweep; give another name with --study"):
        write_to_optuna(read_journal(other.folder), url)
    assert write_to_optuna(read_journal(other.folder), url, study_name="other").added == 1
    assert len(study_of(url).trials) == 4


def test_a_study_that_a_killed_process_left_without_trials_is_taken(recorded, url):
    optuna.create_study(storage=url, study_name="s", directions=["maximize", "minimize"])
    assert write_to_optuna(read_journal(recorded.folder), url).added == 4


def test_a_space_that_cannot_be_read_gives_the_values_that_trials_had(tmp_path, url):
    recorded = RecordedSweep(tmp_path / "old", objectives=OBJECTIVES, space={"search": {"learning_rate": [1, 2]}})
    recorded.trial("t0", [0.5])
    recorded.trial("t1", [0.5], values={"learning_rate": 2e-4, "adapter.kind": "lora"})
    write_to_optuna(read_journal(recorded.finish()), url)
    found = study_of(url).trials[0].distributions
    assert found["learning_rate"] == optuna.distributions.CategoricalDistribution((1e-4, 2e-4))


def test_one_objective_is_a_study_with_one_direction(tmp_path, url):
    recorded = RecordedSweep(tmp_path / "one", objectives={"dev_score": OBJECTIVES["dev_score"]})
    recorded.trial("t0", [0.5])
    write_to_optuna(read_journal(recorded.finish()), url)
    assert study_of(url).best_value == pytest.approx(0.5)


def run(*arguments):
    command = [sys.executable, "-m", "mtbert_ray.export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_says_what_was_added(recorded, url):
    done = run(recorded.folder, "--to", "optuna", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "study 's': 4 trials added, 0 were there, 1 left out as they have not ended\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--to", "wandb", "URL"], "--to wandb"),
        (["--to", "optuna", "nonsense"], "nonsense: the Optuna storage cannot be used"),
        (["--to", "optuna", "sqlite:////nowhere/x.db"], "unable to open database file"),
        (["--to", "optuna", "sqlite:///x.db", "--out", "new"], "--out"),
        (["--study", "name", "--out", "new"], "--study"),
        ([], "--out"),
    ],
)
def test_a_mistake_is_one_line(recorded, arguments, named):
    done = run(recorded.folder, *arguments)
    assert done.returncode == 2
    assert named in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_password_is_not_shown(recorded):
    done = run(recorded.folder, "--to", "optuna", "postgresql+nodriver://me:secret@nowhere/db")
    assert done.returncode == 2
    assert "secret" not in done.stderr and "me:***@nowhere" in done.stderr
