"""What a running sweep shows: one line an event where nobody watches a terminal, a table where somebody does.

Long, and one file: every test reads the lines of the same few events.
"""

import io
import math
import time

import pytest
from rich.console import Console

from mtbert_ray.events import (
    EpochFinished,
    ProbeFinished,
    SweepFinished,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    TrialStopped,
)
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.progress import SweepProgress, config_text
from mtbert_ray.trial import Trial

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.5),
    "train_seconds": Objective(direction="minimize", reference=100.0, constraint=60.0),
}
BOX = 0.5 * 100  # From 0.5 to a score of 1, and from 100 to 0 seconds.


def progress_on(console: Console, *, elapsed=0.0, num_trials=4, budget=None) -> SweepProgress:
    """Return a display whose sweep began so many seconds ago."""
    return SweepProgress(
        objectives=OBJECTIVES,
        tasks=("sst", "sts"),
        num_trials=num_trials,
        time_budget_seconds=budget,
        console=console,
        _started=time.monotonic() - elapsed,
    )


def start(progress, trial_id="t1", epochs=4, **hyperparameters) -> Trial:
    config = {"epochs": epochs, "tasks": [{"name": "sst"}, {"name": "sts"}]}
    event = TrialStarted(trial_id=trial_id, hyperparameters=hyperparameters, config=config)
    trial = Trial.started_by(event)
    progress.on_event(event, trial)
    return trial


def send(progress, trial, event) -> None:
    trial.apply(event)
    progress.on_event(event, trial)


def metrics(score=0.75, seconds=50.0, **more) -> dict:
    return {"sst": score, "sts": None, "dev_score": score, "train_seconds": seconds, **more}


def epoch(trial, score=0.75, seconds=50.0, **more) -> EpochFinished:
    return EpochFinished(trial_id=trial.trial_id, metrics=metrics(score, seconds, **more))


def run_trial(progress, trial_id="t1", *epochs, reason=None, failed=False, kind="rung") -> Trial:
    """Let a trial go from start to end; one with a reason is stopped, or failed."""
    trial = start(progress, trial_id, epochs=max(1, len(epochs)))
    for values in epochs:
        send(progress, trial, EpochFinished(trial_id=trial_id, metrics=values))
    if failed:
        send(progress, trial, TrialFailed(trial_id=trial_id, reason=reason))
    elif reason:
        send(progress, trial, TrialStopped(trial_id=trial_id, reason=reason, kind=kind))
    else:
        send(progress, trial, TrialFinished(trial_id=trial_id))
    return trial


def lines_of(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


@pytest.fixture
def log() -> Console:
    """A log file: no terminal, and narrower than a line."""
    return Console(file=io.StringIO(), width=20, force_terminal=False)


# References that no trial has reached


def test_a_reference_that_no_trial_has_reached_is_shown_and_updated_until_one_has(log):
    with progress_on(log) as progress:
        trial = start(progress, epochs=3)
        for score in (0.3, 0.3, 0.391):
            send(progress, trial, epoch(trial, score))
        send(progress, trial, TrialFinished(trial_id="t1"))
        assert progress.volume_percent() == 0.0
        run_trial(progress, "t2", metrics(0.51))
    shown = [line for line in lines_of(log) if "reference yet" in line]
    assert ["0.300" in shown[0], "0.391" in shown[1], "0.391" in shown[2]] == [True] * 3
    assert shown[2].startswith("t1 finished") and len(shown) == 3


def test_every_objective_concerned_is_named_and_seconds_only_of_trials_that_finished(log):
    with progress_on(log) as progress:
        running = start(progress, "t0")
        send(progress, running, epoch(running, 0.6, seconds=30.0))
        assert progress.unreached() is None
        run_trial(progress, "t1", metrics(0.4, seconds=200.0))
        assert "best train_seconds 200" in progress.unreached() and "dev_score" not in progress.unreached()
        run_trial(progress, "t2", metrics(0.2, seconds=1.0), failed=True, reason="broken")
        assert "train_seconds 200" in progress.unreached()
        running.epochs[-1] = metrics(0.5, seconds=30.0)
        assert "best dev_score 0.500" in progress.unreached() and "train_seconds 200" in progress.unreached()


def test_an_epoch_looks_only_at_trials_that_run(log, monkeypatch):
    looked_at = []
    of_trial = Trial.metrics.fget
    monkeypatch.setattr(Trial, "metrics", property(lambda trial: looked_at.append(trial) or of_trial(trial)))
    with progress_on(log) as progress:
        for place in range(50):
            run_trial(progress, f"t{place}", metrics(0.2 + place / 1000))
        running = start(progress, "r")
        looked_at.clear()
        send(progress, running, epoch(running, 0.1))
    assert looked_at == [running]
    assert lines_of(log)[-1] == "r epoch 1/4: sst 0.100, sts -, dev_score 0.100"
    assert "0.249" in progress.unreached()


def test_a_metric_s_name_with_a_line_break_stays_in_its_line(log):
    progress = progress_on(log)
    progress.objectives = {"sst.f1.two\nlines": Objective(direction="maximize", reference=0.5)}
    run_trial(progress, "t1", metrics(**{"sst.f1.two\nlines": 0.25}))
    assert len(lines_of(log)) == 4
    assert lines_of(log)[-1].count("best sst.f1.two lines 0.250") == 2  # the best score, and below the reference


def test_trials_of_earlier_sessions_count_for_the_reference_too(log):
    with progress_on(log) as progress:
        progress.count_earlier([run_trial(progress_on(Console(quiet=True)), "t0", metrics(0.45))])
        assert "best dev_score 0.450, reference 0.5" in progress.summary()


# Lines


def test_every_event_is_one_line_that_is_not_wrapped(log):
    with progress_on(log, elapsed=1000.0) as progress:
        trial = start(progress, learning_rate=1e-5, hidden_layers={"sst": 1}, encoder_dropout=None)
        for score in (0.7, 0.75, 0.75, 0.75):
            send(progress, trial, epoch(trial, score))
        send(progress, trial, TrialFinished(trial_id="t1"))
        run_trial(progress, "t2", metrics(), reason="too large")
        run_trial(progress, "t3", reason="ValueError: [no] \\[way]", failed=True)
    # One trial of four after 1000 s; a rectangle of 0.75 - 0.5 by 100 - 50.
    front = "best dev_score 0.750, 1 on the front, volume 25% of the reference box"
    lines = lines_of(log)
    assert [*lines[:3], *lines[5:]] == [
        't1 started: learning_rate=1e-05 hidden_layers={"sst": 1} encoder_dropout=None',
        "t1 epoch 1/4: sst 0.700, sts -, dev_score 0.700",
        "t1 epoch 2/4: sst 0.750, sts -, dev_score 0.750",
        f"t1 finished. 1 of 4 trials done, about 50 min left, {front}",
        "t2 started: ",
        "t2 epoch 1/1: sst 0.750, sts -, dev_score 0.750",
        f"t2 stopped: too large. 2 of 4 trials done, 1 stopped early, about 17 min left, {front}",
        "t3 started: ",
        "t3 failed: ValueError: [no] \\[way]. 3 of 4 trials done, 1 stopped early, 1 failed, about 6 min left, "
        f"{front}",
    ]


def test_nothing_is_drawn_of_the_sweep_s_own_events(log):
    started = SweepStarted(
        name="s", space={}, objectives=OBJECTIVES, hyperparameters=(), tasks=("sst",), num_trials=1, seed=0,
        versions={}, git_revision=None, hardware={},
    )  # fmt: skip
    with progress_on(log) as progress:
        progress.on_event(started, None)
        progress.on_event(SweepFinished(reason="completed"), None)
    assert lines_of(log) == []


def test_a_long_number_is_shortened_and_a_text_is_not():
    values = {"learning_rate": 1.23456789e-5, "adapter.rank": 16, "adapter.kind": "lora", "target": ["query", "value"]}
    assert config_text(start(progress_on(Console(quiet=True)), **values)) == (
        'learning_rate=1.23e-05 adapter.rank=16 adapter.kind=lora target=["query", "value"]'
    )


# Time left


@pytest.mark.parametrize(
    ("elapsed", "num_trials", "budget", "done", "running", "left"),
    [
        (10.0, 4, None, 0, [], None),
        (10.0, 4, None, 0, [0], None),
        (10.0, 4, None, 0, [1], 150.0),  # a quarter of one trial of four: a sixteenth
        (10.0, 4, None, 1, [2, 2], 10.0),  # one and two halves: half of it
        (10.0, 4, None, 4, [], 0.0),
        (10.0, 4, 60.0, 0, [0], 50.0),
        (10.0, 4, 60.0, 0, [1], 50.0),  # the budget ends it before the trials do
        (10.0, 4, 60.0, 2, [], 10.0),
        (10.0, None, 60.0, 3, [2], 50.0),
        (90.0, None, 60.0, 3, [2], 0.0),
        (10.0, None, None, 3, [2], None),
    ],
)
def test_time_left_is_the_share_of_epochs_to_come_or_the_rest_of_the_budget(
    log, elapsed, num_trials, budget, done, running, left
):
    progress = progress_on(log, elapsed=elapsed, num_trials=num_trials, budget=budget)
    progress.done = done
    for number, epochs_done in enumerate(running):
        start(progress, f"r{number}").epochs += [metrics()] * epochs_done
    assert progress.seconds_left() == (left if left is None else pytest.approx(left, abs=2.0))


@pytest.mark.parametrize(
    ("budget", "words"), [(45.0, "about 45 s"), (600.0, "about 10 min"), (9000.0, "about 2.5 h"), (0.0, "about 0 s")]
)
def test_time_left_has_its_own_unit(log, budget, words):
    assert progress_on(log, num_trials=None, budget=budget).summary() == f"0 trials done, {words} left"


# The front


def test_the_volume_is_of_the_finished_and_feasible_trials_in_percent_of_the_reference_box(log):
    progress = progress_on(log)
    assert progress.volume_percent() == 0.0
    run_trial(progress, "t1", metrics(0.75, 50.0))
    assert progress.volume_percent() == pytest.approx(100 * 0.25 * 50 / BOX)
    run_trial(progress, "t2", metrics(0.60, 20.0))
    # The second adds what lies between 20 and 50 seconds.
    assert progress.volume_percent() == pytest.approx(100 * (0.25 * 50 + 0.10 * 30) / BOX)
    assert "best dev_score 0.750, 2 on the front" in progress.summary()
    added_nothing = [
        ("t3", [metrics(0.70, 55.0)], {}),  # dominated
        ("t4", [metrics(0.95, 70.0)], {}),  # beyond the constraint
        ("t6", [metrics(0.95, 1.0)], {"reason": "stopped by hand"}),
        ("t7", [metrics(0.95, 1.0)], {"reason": "ValueError", "failed": True}),
        ("t8", [metrics(None, 1.0)], {}),
        ("t9", [metrics(math.nan, 1.0)], {}),
        ("t10", [], {}),
    ]
    for trial_id, epochs, ending in added_nothing:
        run_trial(progress, trial_id, *epochs, **ending)
        assert progress.volume_percent() == pytest.approx(100 * 15.5 / BOX), trial_id
    assert "best dev_score 0.750, 2 on the front" in progress.summary()
    assert (progress.done, progress.failed) == (9, 1)
    run_trial(progress, "t5", metrics(0.40, 1.0))  # On the front, and beyond the reference.
    assert progress.volume_percent() == pytest.approx(100 * 15.5 / BOX)


@pytest.mark.parametrize(
    ("goals", "percent"),
    [
        ({"dev_score": {"reference": 0.5, "attainable": 0.8}}, 100 * 0.25 / 0.3),
        ({"dev_score": {"reference": 0.5, "attainable": 0.7}}, 100.0),  # beaten
        ({"sts.rmse": {"direction": "minimize", "reference": 2.0}}, 100 * 1.5 / 2.0),
        ({"train_seconds": {"reference": 10.0}}, 100.0),  # nobody knows the longest: the best seen
        ({"train_seconds": {"direction": "minimize", "reference": 10.0}}, 0.0),
    ],
)
def test_the_reference_box_ends_at_the_best_attainable_value_or_at_the_best_seen(log, goals, percent):
    progress = progress_on(log)
    progress.objectives = {name: Objective(**{"direction": "maximize", **goal}) for name, goal in goals.items()}
    run_trial(progress, "t1", metrics(0.75, 50.0, **{"sts.rmse": 0.5}))
    assert progress.volume_percent() == pytest.approx(percent)


@pytest.mark.parametrize(
    ("names", "shown"), [(["train_seconds", "sst"], "best sst 0.750"), (["train_seconds"], "best train_seconds 50.000")]
)
def test_the_best_is_that_of_the_first_score_or_else_of_the_first_objective(log, names, shown):
    progress = progress_on(log)
    directions = {"train_seconds": ("minimize", 100.0), "sst": ("maximize", 0.0)}
    progress.objectives = {
        name: Objective(direction=directions[name][0], reference=directions[name][1]) for name in names
    }
    run_trial(progress, "t1", metrics())
    assert shown in progress.summary()


def test_a_trial_counts_with_the_scores_of_its_best_epoch_and_all_its_costs(log):
    progress = progress_on(log)
    run_trial(progress, "t1", metrics(0.9, 25.0), metrics(0.6, 50.0))
    assert progress.volume_percent() == pytest.approx(100 * 0.4 * 50 / BOX)


# The table


def test_a_terminal_gets_a_table_of_what_runs_and_no_lines():
    console = Console(file=io.StringIO(), width=130, force_terminal=True, color_system=None)
    with progress_on(console, elapsed=1200.0) as progress:
        run_trial(progress, "t6", metrics())
        trial = start(progress, "t7", learning_rate=1e-5)
        send(progress, trial, epoch(trial, 0.7))
    shown = console.file.getvalue()
    assert "t6 finished" not in shown and "t7 started" not in shown
    last = shown[shown.rindex("trial ") :]
    heading, row, summary = (line.split() for line in last.splitlines()[:3])
    assert heading == ["trial", "epoch", "sst", "sts", "dev_score", "hyperparameters"]
    assert row == ["t7", "1/4", "0.700", "-", "0.700", "learning_rate=1e-05"]
    assert " ".join(summary).startswith("1 of 4 trials done, about 44 min left, best dev_score 0.750")


def test_a_failure_is_printed_above_the_table():
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    with progress_on(console) as progress:
        run_trial(progress, "t1", metrics(), reason="ValueError: no", failed=True)
    assert "t1 failed: ValueError: no. 1 of 4 trials done, 1 failed" in console.file.getvalue()


def test_trials_of_an_earlier_session_are_done_and_do_not_count_for_the_time_left(log):
    before = progress_on(Console(quiet=True))
    earlier = [
        run_trial(before, "t0", metrics()),
        run_trial(before, "t1", reason="dominated"),
        run_trial(before, "t2", reason="broken", failed=True),
    ]
    with progress_on(log, elapsed=1000.0) as progress:
        progress.count_earlier(earlier)
        assert progress.summary().startswith("3 of 4 trials done, 1 stopped early, 1 failed, best dev_score 0.750")
        run_trial(progress, "t3", metrics())
        assert "4 of 4 trials done" in progress.summary() and "about 0 s left" in progress.summary()


def test_interrupted_trials_are_not_done(log):
    with progress_on(log) as progress:
        run_trial(progress, "t0", metrics())
        run_trial(progress, "t1", metrics(), reason="the sweep was interrupted", kind="sweep")
        start(progress, "t2")
    assert (progress.done, progress.stopped, len(progress.interrupted), list(progress.running)) == (1, 0, 1, ["t2"])
    assert "1 of 4 trials done, 1 interrupted" in lines_of(log)[-2]


def test_a_probe_shows_what_is_projected(log):
    with progress_on(log) as progress:
        trial = start(progress)
        projection = {"peak_rss_gib": 1.5, "train_seconds": 80.0}
        send(progress, trial, ProbeFinished(trial_id="t1", steps=30, metrics={}, projection=projection))
    [line] = [line for line in lines_of(log) if "probe" in line]
    assert "train_seconds 80.000" in line and "peak_rss_gib" not in line
