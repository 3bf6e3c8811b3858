"""Repeats and remeasurement as a user asks for them: options, dry runs, the API; all but Ray."""

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import TINY_SPACE
from rich.console import Console
from typer.testing import CliRunner

from mtbert_ray.errors import ConfigError
from mtbert_ray.events import EpochFinished, SweepFinished, TrialFinished, TrialStopped
from mtbert_ray.journal import read_journal
from mtbert_ray.ray_backend import launch
from mtbert_ray.ray_backend.launch import dry_run, resume_sweep, run_sweep
from mtbert_ray.ray_backend.run import SweepOutcome
from mtbert_ray.study.request import new_request, resume_request
from mtbert_ray.study.space import load_search_space
from mtbert_ray.sweep import app

FRONT = {"t000": (0.5, 1.0), "t001": (0.4, 2.0), "t002": (0.7, 3.0), "t003": (0.6, 4.0)}
"""Trial -> its score, and seconds an epoch: t002 and t000 are on the front."""


class FakeRay:
    """Runs trials of a study one after another, so many in a session."""

    def __init__(self) -> None:
        self.trials_each_session = 100
        self.ran: list[str] = []

    @contextmanager
    def session(self, address, **options):
        yield

    def run(self, study, plan, folder: Path, *, console: Console) -> SweepOutcome:
        for _ in range(self.trials_each_session):
            started = study.ask()
            if started is None:
                break
            self.ran.append(started.trial_id)
            self._run(study, started.trial_id)
        reason = "completed" if study.ask() is None else "interrupted"
        study.add(SweepFinished(reason=reason))
        return SweepOutcome(reason=reason, num_finished=1, folder=folder, report=folder / "index.html")

    def _run(self, study, trial_id: str) -> None:
        score, seconds = FRONT[trial_id[:4]]
        for number in range(1, study.sweep.trial(trial_id).num_epochs + 1):
            metrics = {"epoch": number, "step": number, "dev_score": score, "train_seconds": seconds * number}
            decision = study.add(EpochFinished(trial_id=trial_id, metrics=metrics))
            if decision is not None:
                study.add(TrialStopped(trial_id=trial_id, reason=decision.in_words(), kind=decision.kind))
                return
        study.add(TrialFinished(trial_id=trial_id))


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
    path.write_text(f"{TINY_SPACE}repeats: 1\nresources: {{concurrent_trials: 1}}\n")
    return path


@pytest.fixture
def sweep(tmp_path) -> Callable[..., object]:
    """Run the command."""
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def test_the_yaml_s_number_is_run_and_the_option_s_comes_before_it(fake_ray, space_file, tmp_path, capsys):
    run_sweep(space_file, tmp_path / "first")
    assert fake_ray.ran[4:] == ["t002-r1", "t000-r1"]
    assert "4 trials and then 1 repeat of each on the front, 1 at once" in capsys.readouterr().err
    for repeats, number in ((0, 0), (2, 4)):
        fake_ray.ran.clear()
        run_sweep(space_file, tmp_path / str(repeats), repeats=repeats)
        assert len(fake_ray.ran) == 4 + number
        assert read_journal(tmp_path / str(repeats)).repeats == repeats


def test_options_of_the_command(fake_ray, space_file, tmp_path, sweep):
    out = tmp_path / "out"
    assert sweep(space_file, "--out", out, "--repeats", 0).exit_code == 0
    assert len(fake_ray.ran) == 4
    ended = sweep("--resume", out, "--repeat-front", 2, "--remeasure", "front")
    assert ended.exit_code == 0 and "4 repeats and 2 remeasurements left" in ended.stderr
    repeats = ["t002-r1", "t000-r1", "t002-r2", "t000-r2"]
    assert fake_ray.ran[4:] == [*repeats, "t002-alone", "t000-alone"]
    assert sweep("--resume", out, "--remeasure", "front").exit_code == 0
    assert fake_ray.ran[-2:] == ["t002-alone2", "t000-alone2"]
    journal = read_journal(out)
    assert [(one.repeats, one.remeasure) for one in journal.resumed] == [(2, True), (None, True)]
    nothing = sweep("--resume", out, "--repeat-front", 2)
    assert nothing.exit_code == 2 and "has its repeats" in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["SPACE", "--repeat-front", "1"], "--repeat-front"),
        (["SPACE", "--repeat-front", "0", "--remeasure", "front"], "--repeat-front, --remeasure"),
        (["--resume", "OUT", "--repeats", "1"], "--repeats"),
        (["--resume", "OUT", "--remeasure", "t004"], "--remeasure"),
        (["SPACE", "--repeats", "-1"], "--repeats"),
        (["SPACE", "--repeats", "1001"], "--repeats"),
        (["SPACE", "--set", "repeats=1001"], "repeats"),
    ],
)
def test_options_that_do_not_go_together_are_refused(space_file, tmp_path, sweep, arguments, named):
    names = {"SPACE": space_file, "OUT": tmp_path / "out"}
    refused = sweep(*[names.get(argument, argument) for argument in arguments])
    assert refused.exit_code == 2 and named in refused.stderr
    assert not (tmp_path / "out").exists()


def test_an_interrupted_sweep_goes_on_with_its_repeats_and_measurements(fake_ray, space_file, tmp_path, capsys):
    out = tmp_path / "out"
    fake_ray.trials_each_session = 3
    run_sweep(space_file, out)
    resume_sweep(out, remeasure=True)
    assert "1 trial, about 2 repeats and about 2 remeasurements left" in capsys.readouterr().err
    resume_sweep(out)
    assert fake_ray.ran == [*FRONT, "t002-r1", "t000-r1", "t002-alone", "t000-alone"]
    assert read_journal(out).finished.reason == "completed"


def test_an_edited_number_is_taken(fake_ray, space_file, tmp_path):
    out = tmp_path / "out"
    run_sweep(space_file, out)
    (out / "space.yaml").write_text(space_file.read_text().replace("repeats: 1", "repeats: 2"))
    request = resume_request(out)
    assert request.repeats == 2 and len(request.reruns) == 2
    assert request.notes[-1].endswith("repeats was 1 and is now 2: taken")
    assert resume_request(out, repeat_front=3).repeats == 3
    resume_sweep(out)
    assert fake_ray.ran[-2:] == ["t002-r2", "t000-r2"]


def test_a_search_space_of_python_has_its_own_number(space_file, tmp_path):
    with pytest.raises(ConfigError, match="repeats"):
        run_sweep(load_search_space(space_file), tmp_path / "out", repeats=2)


def test_a_search_that_time_alone_ends_warns_that_repeats_have_no_effect(space_file, tmp_path):
    overrides = ["search={learning_rate: {loguniform: [1e-4, 1e-3]}}", "algorithm=random", "time_budget_minutes=1"]

    def warned(*more: str) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            new_request(space_file, out=tmp_path / "out", overrides=[*overrides, *more])
        return [str(warning.message) for warning in caught if "repeats" in str(warning.message)]

    (text,) = warned()
    assert "no effect" in text and "--repeat-front" in text and "tiny.yaml:" in text
    assert warned("trials=3") == warned("repeats=0") == []


# Dry runs


def line(request, start: str) -> str:
    return next(line for line in dry_run(request) if line.startswith(start))


def test_a_dry_run_counts_repeats(fake_ray, space_file, tmp_path):
    request = new_request(space_file, out=tmp_path / "tiny-2", repeats=3)
    assert "3 further seeds" in line(request, "repeats: ")
    assert " more for the repeats of each on the front" in line(request, "disk: ")
    assert line(request, "time: ").startswith("time: unknown")
    run_sweep(space_file, tmp_path / "tiny-1")
    time = line(request, "time: ")
    assert " for 4 trials and then " in time and " for 3 repeats of a front of 2, as " in time
    kept = new_request(space_file, out=tmp_path / "tiny-2", overrides=["keep_checkpoints=front"])
    assert " more for the repeats" not in line(kept, "disk: ")
    assert not any(line.startswith("repeats: ") for line in dry_run(new_request(space_file, repeats=0)))


def test_a_dry_run_counts_the_reruns_that_are_left(fake_ray, space_file, tmp_path):
    out = tmp_path / "out"
    run_sweep(space_file, out, repeats=0)
    journal = read_journal(out)
    for trial in journal.trials:  # 600 seconds each, of two epochs.
        trial.ended = trial.started + 600
    request = replace(resume_request(out, repeat_front=2, remeasure=True), earlier=journal)
    lines = list(dry_run(request))
    assert lines[0].endswith("4 repeats and 2 remeasurements left")
    (time,) = [line for line in lines if line.startswith("time: ")]
    assert time.startswith("time: about 40 min 0 s for 4 repeats and about 10 min 0 s for 2 remeasurements, as")
    (disk,) = [line for line in lines if line.startswith("disk: ")]
    assert " for the checkpoints of 4 repeats, " in disk and " while 1 trial runs;" in disk
    (disk,) = [line for line in dry_run(resume_request(out, remeasure=True)) if line.startswith("disk: ")]
    assert disk.startswith("disk: nothing for checkpoints, ") and " while 1 trial runs;" in disk
