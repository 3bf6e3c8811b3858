"""What a user asks for, as far as the YAML and the journal tell whether it can be."""

import warnings
from pathlib import Path

import pytest
from command_line import TINY_SPACE
from study_sessions import GRID, finish, new_study, resumed_study, space_of, start

from mtbert_ray.errors import ConfigError, JournalError
from mtbert_ray.study.request import SweepRequest, new_request, request_of, resume_request
from mtbert_ray.study.session import new_session, resumed_session
from mtbert_ray.study.space import load_search_space

SPACE = """\
# My sweep.
name: s
question: Which rate?
objectives: {dev_score: {direction: maximize, reference: 0.0}}
fixed: {encoder: tiny, epochs: 2, tasks: [sst]}
search: {learning_rate: {loguniform: [1e-5, 1e-3]}}
trials: 4
resources: {concurrent_trials: 2}
"""


def warned(tmp_path, *overrides: str) -> list[str]:
    (tmp_path / "space.yaml").write_text(TINY_SPACE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        new_request(tmp_path / "space.yaml", out=tmp_path / "out", overrides=overrides)
    return [str(warning.message) for warning in caught if "has no effect" in str(warning.message)]


def test_a_key_that_no_trial_uses_is_named(tmp_path):
    (warning,) = warned(tmp_path, "smart.epsilon=0.1")
    assert warning.startswith("smart.epsilon ")


def test_a_key_that_some_trials_use_is_not(tmp_path):
    # Half of the grid has an adapter.
    assert warned(tmp_path, "adapter.rank=2") == []


@pytest.mark.parametrize("trials", [None, 20])
def test_nothing_is_resumed_when_earlier_sweeps_have_tried_all_that_is_left(tmp_path, trials):
    for name, count, warm_start_from in (("first", 4, ()), ("second", 2, (str(tmp_path / "first"),))):
        study = new_study(space_of(tmp_path, text=GRID, warm_start_from=warm_start_from), tmp_path / name)
        for trial_id in start(study, count):
            finish(study, trial_id)
    with pytest.raises(JournalError, match=r"all its trials have ended \(2\)"):
        resume_request(tmp_path / "second", num_trials=trials)


def test_a_complete_sweep_needs_more_trials_to_be_resumed(tmp_path):
    study = new_study(space_of(tmp_path, trials=3), tmp_path / "sweep")
    for trial_id in start(study, 3):
        finish(study, trial_id)
    with pytest.raises(JournalError, match="--trials"):
        resume_request(tmp_path / "sweep")
    assert resume_request(tmp_path / "sweep", num_trials=4).space.num_trials == 4


def test_a_sweep_that_another_process_runs_is_not_resumed(tmp_path):
    space = space_of(tmp_path)
    session = new_session(tmp_path / "sweep", space, space.objectives, notes=(), cluster="", space_text="")
    with session, pytest.raises(JournalError, match="another process"):
        resume_request(tmp_path / "sweep")


PYTHON_SPACES = {
    "conditions": """\
search:
  adapter.kind: {choice: [none, lora]}
  adapter.rank: {int: [2, 9], log: true, when: {adapter.kind: lora}}
  dropout: {uniform: [0.0, 0.5]}
  batch_size: {int: [8, 32], step: 8}
  hidden_layers: {choice: [1, {sst: 2}]}
trials: 3
halving: {grace_period: 2}
points_to_evaluate: [{adapter.kind: lora, adapter.rank: 4}]
""",
    "experiments": """\
experiments: {short: {epochs: 1}, long: {epochs: 3}}
search: {seed: {grid: [0, 1]}}
algorithm: grid
""",
    "a time budget": """\
search: {dropout: {loguniform: [0.001, 0.5]}}
seed: 3
time_budget_minutes: 9
resources: {concurrent_trials: 2}
""",
}


@pytest.mark.parametrize("name", PYTHON_SPACES)
def test_a_space_without_a_file_is_written_as_one_that_can_be_read(tmp_path, name):
    score = "dev_score: {direction: maximize, reference: 0.0}"
    head = f"name: s\nobjectives: {{{score}}}\nfixed: {{encoder: tiny, tasks: [sst]}}\n"
    (tmp_path / "first.yaml").write_text(head + PYTHON_SPACES[name])
    space = load_search_space(tmp_path / "first.yaml")
    request = request_of(space, out=tmp_path / "out")
    (tmp_path / "second.yaml").write_text(request.space_text)
    assert load_search_space(tmp_path / "second.yaml") == space


# A space.yaml that was edited since


@pytest.fixture
def folder(tmp_path) -> Path:
    """A sweep that was killed before its first trial, of the text above."""
    (tmp_path / "space.yaml").write_text(SPACE)
    request = new_request(tmp_path / "space.yaml", out=tmp_path / "sweep")
    space, text = request.space, request.space_text
    with new_session(request.folder, space, space.objectives, notes=(), cluster="", space_text=text):
        return request.folder


def edited(folder: Path, *changes: tuple[str, str], **options) -> SweepRequest:
    text = (folder / "space.yaml").read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (folder / "space.yaml").write_text(text)
    return resume_request(folder, **options)


def test_an_unedited_file_changes_nothing(folder):
    request = resume_request(folder)
    assert (request.notes, request.space_text, request.space.trials) == ((), SPACE, 4)


def test_trials_time_and_concurrency_are_taken(folder):
    request = edited(
        folder, ("trials: 4", "trials: 9\ntime_budget_minutes: 30"), ("concurrent_trials: 2", "concurrent_trials: 1")
    )
    space = request.space
    assert (space.num_trials, space.time_budget_minutes, space.resources.concurrent_trials) == (9, 30, 1)
    assert len(request.notes) == 3
    for key in ("trials", "time_budget_minutes", "resources.concurrent_trials"):
        (note,) = [note for note in request.notes if f": {key} was " in note]
        assert note.endswith(": taken")


def test_the_command_line_s_trials_come_before_those_of_the_file(folder):
    assert edited(folder, ("trials: 4", "trials: 9"), num_trials=7).space.num_trials == 7


def test_what_makes_it_another_sweep_is_named_and_not_taken(folder):
    before = resume_request(folder).space
    request = edited(
        folder, ("1e-3", "1e-2"), ("epochs: 2", "epochs: 3"), ("resources: {", "resources: {num_workers: 2, ")
    )
    assert request.space == before
    assert len(request.notes) == 3 and all("not taken" in note and str(folder) in note for note in request.notes)
    for key in ("search.learning_rate", "fixed.epochs", "resources.num_workers"):
        assert any(f": {key}" in note for note in request.notes)


def test_a_comment_is_no_change(folder):
    request = edited(folder, ("# My sweep.", "# Yours."))
    assert request.notes == () and request.space_text.startswith("# Yours.")


def test_a_mistake_in_the_edited_file_is_refused(folder):
    with pytest.raises(ConfigError) as caught:
        edited(folder, ("trials: 4", "trails: 4\ntime_budget_minutes: -1"))
    assert [(problem.code, problem.key) for problem in caught.value.problems] == [
        ("unknown_key", "trails"),
        ("out_of_bounds", "time_budget_minutes"),
    ]
    assert all(problem.startswith(f"{folder / 'space.yaml'}:") for problem in caught.value.problems)


def test_an_edit_is_named_once_and_stays(folder):
    request = edited(folder, ("trials: 4", "trials: 9"))
    assert len(request.notes) == 1
    session = resumed_session(folder, num_trials=9, space_text=request.space_text, cluster="")
    with session as study:
        assert study.num_trials == 9
    again = resume_request(folder)
    assert (again.notes, again.space.num_trials) == ((), 9)
    back = edited(folder, ("trials: 9", "trials: 5"))
    assert "was 9 and is now 5" in back.notes[0] and back.space.num_trials == 5


def test_without_a_space_yaml_the_journal_s_space_is_resumed(folder):
    (folder / "space.yaml").unlink()
    request = resume_request(folder)
    assert (request.notes, request.space_text, request.space.trials) == ((), None, 4)
    assert len(start(resumed_study(folder), 4)) == 4


def test_only_what_was_edited_counts_where_options_made_the_file_whole(tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE.replace("trials: 4\n", ""))
    request = new_request(tmp_path / "space.yaml", out=tmp_path / "sweep", num_trials=4)
    text = request.space_text
    with new_session(request.folder, request.space, request.space.objectives, notes=(), cluster="", space_text=text):
        pass
    path = request.folder / "space.yaml"
    path.write_text(path.read_text() + "# a comment\n")
    again = resume_request(request.folder)
    assert (again.notes, again.space.num_trials, again.num_left) == ((), 4, 4)


def test_an_edited_time_budget_holds_for_every_later_session(folder):
    request = edited(folder, ("trials: 4", "trials: 4\ntime_budget_minutes: 30"))
    for _ in range(2):
        assert request.space.time_budget_minutes == 30
        with resumed_session(folder, num_trials=4, space_text=request.space_text, cluster=""):
            pass
        request = resume_request(folder)
        assert request.notes == ()
