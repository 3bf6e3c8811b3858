"""From a request to a session of a sweep: all but Ray, in whose place a test runs the study."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import TINY_SPACE
from rich.console import Console
from study_sessions import finish, num_left
from typer.testing import CliRunner

from mtbert_ray.errors import ResourceError
from mtbert_ray.events import SweepFinished
from mtbert_ray.journal import read_journal
from mtbert_ray.ray_backend import launch
from mtbert_ray.ray_backend.launch import dry_run, resume_sweep, run_sweep
from mtbert_ray.ray_backend.run import SweepOutcome
from mtbert_ray.study.request import resume_request
from mtbert_ray.study.space import load_search_space
from mtbert_ray.sweep import app


class FakeRay:
    """Runs so many trials of a study and then ends its session as interrupted."""

    def __init__(self) -> None:
        self.trials_each_session = 100
        self.plans: list = []

    @contextmanager
    def session(self, address, **options):
        yield

    def run(self, study, plan, folder: Path, *, console: Console) -> SweepOutcome:
        self.plans.append(plan)
        asked = (study.ask() for _ in range(self.trials_each_session))
        for started in iter(lambda: next(asked, None), None):
            finish(study, started.trial_id)
        reason = "interrupted" if num_left(study) else "completed"
        study.add(SweepFinished(reason=reason))
        finished = sum(trial.status == "finished" for trial in study.trials)
        return SweepOutcome(reason=reason, num_finished=finished, folder=folder, report=folder / "index.html")


@pytest.fixture
def fake_ray(monkeypatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(launch, "ray_session", fake.session)
    monkeypatch.setattr(launch, "run_study", fake.run)
    return fake


@pytest.fixture
def space_file(tmp_path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_SPACE)
    return path


def first_line(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("Sweep "))


def test_the_first_line_has_where_it_writes_how_many_trials_and_how_many_at_once(
    fake_ray, space_file, tmp_path, capsys
):
    outcome = run_sweep(space_file, tmp_path / "out", overrides=["resources.concurrent_trials=1"])
    assert (outcome.reason, outcome.num_finished, outcome.exit_code) == ("completed", 4, 0)
    line = first_line(capsys.readouterr().err)
    for part in ("tiny", str(tmp_path / "out"), "4 trials", "1 at once"):
        assert part in line
    sweep = read_journal(tmp_path / "out")
    assert sweep.started.space_text == (tmp_path / "out" / "space.yaml").read_text() == TINY_SPACE
    assert [trial.status for trial in sweep.trials] == ["finished"] * 4


def test_a_sweep_without_a_number_of_trials_says_so(fake_ray, space_file, tmp_path, capsys):
    fake_ray.trials_each_session = 1
    overrides = ["search={learning_rate: {loguniform: [1e-4, 1e-3]}}", "algorithm=random", "time_budget_minutes=1"]
    run_sweep(space_file, tmp_path / "out", overrides=overrides)
    assert "time budget" in first_line(capsys.readouterr().err)


def test_a_space_from_python_is_kept_as_a_file_that_can_be_read(fake_ray, space_file, tmp_path):
    space = load_search_space(space_file)
    run_sweep(space, tmp_path / "out")
    assert len(read_journal(tmp_path / "out").trials) == 4
    kept = load_search_space(tmp_path / "out" / "space.yaml")
    assert list(kept.grid()) == list(space.grid()) and kept.objectives == space.objectives


def test_a_resumed_sweep_says_what_is_left_and_what_was_edited(fake_ray, space_file, tmp_path, capsys):
    out = tmp_path / "out"
    fake_ray.trials_each_session = 1
    assert run_sweep(space_file, out).exit_code == 130
    text = (out / "space.yaml").read_text() + "resources: {concurrent_trials: 1}\n"
    (out / "space.yaml").write_text(text)
    fake_ray.trials_each_session = 100
    capsys.readouterr()
    outcome = resume_sweep(out)
    printed = capsys.readouterr().err
    assert (outcome.reason, outcome.num_finished) == ("completed", 4)
    assert "3 trials left" in first_line(printed) and "1 at once" in first_line(printed)
    assert "resources.concurrent_trials" in printed.splitlines()[0]
    sweep = read_journal(out)
    assert sweep.resumed[0].space_text == text and fake_ray.plans[-1].concurrent_trials == 1
    assert [trial.trial_id for trial in sweep.trials] == ["t000", "t001", "t002", "t003"]


def test_the_command_prints_the_line_to_resume_with(fake_ray, space_file, tmp_path):
    out = tmp_path / "a sweep"
    fake_ray.trials_each_session = 2
    interrupted = CliRunner().invoke(app, [str(space_file), "--out", str(out)])
    assert interrupted.exit_code == 130
    assert f"python -m mtbert_ray.sweep --resume '{out}'" in interrupted.stdout
    resumed = CliRunner().invoke(app, ["--resume", str(out)])
    assert resumed.exit_code == 0 and "--resume" not in resumed.stdout


def test_a_complete_sweep_takes_more_trials_and_nothing_else(fake_ray, space_file, tmp_path):
    out = tmp_path / "out"
    random = ["search={learning_rate: {loguniform: [1e-4, 1e-3]}}", "algorithm=random"]
    run_sweep(space_file, out, trials=1, overrides=random)
    [first] = read_journal(out).trials
    nothing_left = CliRunner().invoke(app, ["--resume", str(out)])
    assert nothing_left.exit_code == 2
    assert "have ended (1)" in nothing_left.stderr and "--trials" in nothing_left.stderr
    assert resume_sweep(out, trials=2).exit_code == 0
    sweep = read_journal(out)
    assert sweep.trials[0] == first and len(sweep.trials) == 2 and len(sweep.resumed) == 1
    refused = CliRunner().invoke(app, [str(space_file), "--resume", str(out), "--set", "epochs=3"])
    assert refused.exit_code == 2 and "SPACE, --set" in refused.stderr


def test_a_dry_run_of_a_resumed_sweep_starts_nothing(fake_ray, space_file, tmp_path):
    out = tmp_path / "out"
    fake_ray.trials_each_session = 1
    run_sweep(space_file, out)
    before = (out / "journal.jsonl").read_text()
    lines = list(dry_run(resume_request(out)))
    assert "3 trials left" in lines[0] and str(out) in lines[0]
    assert any(line.startswith("rows: ") for line in lines)
    assert any(line.startswith("disk: ") and "3 trials" in line for line in lines)
    assert len(fake_ray.plans) == 1 and (out / "journal.jsonl").read_text() == before


def test_what_this_machine_can_never_hold_is_refused_before_its_ray_is_started(space_file, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(launch, "ray_session", None)
    with pytest.raises(ResourceError):
        run_sweep(space_file, tmp_path / "out", overrides=["resources.cpus_per_worker=4096"])
    assert not (tmp_path / "out").exists()
