"""What a user asked for, checked on the way to a plan."""

import os
import signal
import warnings

import pytest
from begun_sweep import GRID, asked_of, begun, finish, plan_of
from command_line import TINY_SPACE
from rich.console import Console

from mtbert_ray.errors import JournalError
from mtbert_ray.ray_backend.launch import dry_run, launch
from mtbert_ray.ray_backend.run import _Interrupts
from mtbert_ray.study.request import SweepRequest


def told(tmp_path, *overrides: str) -> list[str]:
    (tmp_path / "space.yaml").write_text(TINY_SPACE)
    request = SweepRequest(space_file=tmp_path / "space.yaml", out=tmp_path / "out", overrides=overrides)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert list(dry_run(request))
    return [str(warning.message) for warning in caught if "has no effect" in str(warning.message)]


def test_a_setting_that_no_trial_uses_is_told(tmp_path):
    assert told(tmp_path, "smart.epsilon=0.1") == [
        "smart.epsilon has no effect in any trial: smart.tasks names no task"
    ]


def test_a_setting_that_some_trials_use_is_not(tmp_path):
    # Half of the grid has an adapter.
    assert told(tmp_path, "adapter.rank=2") == []


@pytest.mark.parametrize("trials", [None, 20])
def test_ray_is_not_started_when_earlier_sweeps_have_tried_all_that_is_left(tmp_path, monkeypatch, trials):
    settings = list(plan_of(tmp_path, text=GRID).space.grid())
    for name, part, warm_start_from in (
        ("first", settings[:4], ()),
        ("second", settings[4:], (str(tmp_path / "first"),)),
    ):
        plan = plan_of(tmp_path, text=GRID, warm_start_from=warm_start_from)
        asked = asked_of(begun(plan, tmp_path / name), plan)
        assert [values for _, values in asked][: len(part)] == part
        for number, values in enumerate(part):
            finish(plan, tmp_path / name, f"t{number:03d}", values)
    monkeypatch.setattr("mtbert_ray.study.request.ray_session", None)
    request = SweepRequest(resume_folder=tmp_path / "second", num_trials=trials)
    with pytest.raises(
        JournalError, match="its 2 trials have ended, and warm_start_from's sweeps have tried every other"
    ):
        launch(request, console=Console(quiet=True))


@pytest.mark.parametrize("before", [None, "0"])
def test_signals_and_tune_s_switch_are_left_as_they_were_found(monkeypatch, before):
    switch = "TUNE_DISABLE_SIGINT_HANDLER"
    monkeypatch.delenv(switch, raising=False)
    if before is not None:
        monkeypatch.setenv(switch, before)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    with _Interrupts(Console(quiet=True)):
        assert os.environ[switch] == "1"
    assert os.environ.get(switch) == before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == handlers
