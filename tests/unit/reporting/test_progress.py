"""What a running sweep shows: one line an event where nobody watches a terminal, a table where somebody does."""

import io
import math
import time

import pytest
from rich.console import Console

from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.progress import SweepProgress, config_text
from mtbert_ray.trial import Trial

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.5),
    "train_seconds": Objective(direction="minimize", reference=100.0, constraint=60.0),
}


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


def record(trial_id="t1", epochs=4, **hyperparameters) -> Trial:
    config = {"epochs": epochs, "tasks": [{"name": "sst"}, {"name": "sts"}]}
    return Trial(trial_id=trial_id, hyperparameters=hyperparameters, config=config, started=0.0)


def epoch(score=0.75, seconds=50.0, **metrics) -> dict:
    return {"sst": score, "sts": None, "dev_score": score, "train_seconds": seconds, **metrics}


def run_trial(progress, trial_id="t1", *epochs, reason=None, failed=False):
    """Let a trial go from start to end; one with a reason is stopped, or failed."""
    trial = record(trial_id, epochs=max(1, len(epochs)))
    progress.trial_started(trial)
    for metrics in epochs:
        trial.epochs.append(metrics)
        progress.epoch_finished(trial_id, metrics)
    trial.status, trial.reason = ("failed" if failed else "stopped" if reason else "finished"), reason
    trial.stop_kind = "rung" if trial.status == "stopped" else None
    progress.trial_ended(trial_id)


def lines_of(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


@pytest.fixture
def log() -> Console:
    """A log file: no terminal, and narrower than a line."""
    return Console(file=io.StringIO(), width=20, force_terminal=False)


# References that no trial has reached


def test_a_reference_that_no_trial_has_reached_is_said_and_updated_until_one_has(log):
    trial = record(epochs=3)
    with progress_on(log) as progress:
        progress.trial_started(trial)
        for score in (0.3, 0.3, 0.391):
            trial.epochs.append(epoch(score))
            progress.epoch_finished("t1", trial.epochs[-1])
        trial.status = "finished"
        progress.trial_ended("t1")
        assert progress.hypervolume() == 0.0
        run_trial(progress, "t2", epoch(0.51))
    said = [line for line in lines_of(log) if "reference" in line]
    yet = "no trial is better than the reference yet: best dev_score {}, reference 0.5"
    assert said[:2] == [yet.format("0.300"), yet.format("0.391")]
    assert said[2].endswith(f"hypervolume 0; {yet.format('0.391')}") and said[2].startswith("t1 finished")
    assert len(said) == 3 and "hypervolume 0.5" in lines_of(log)[-1]


def test_every_objective_concerned_is_named_and_seconds_only_of_trials_that_finished(log):
    with progress_on(log) as progress:
        running = record("t0", epochs=4)
        progress.trial_started(running)
        running.epochs.append(epoch(0.6, seconds=30.0))
        assert progress.unreached() is None
        run_trial(progress, "t1", epoch(0.4, seconds=200.0))
        assert progress.unreached() == (
            "no trial is better than the reference yet: best train_seconds 200.000, reference 100"
        )
        run_trial(progress, "t2", epoch(0.2, seconds=1.0), failed=True, reason="broken")
        assert "train_seconds 200" in progress.unreached()
        running.epochs[-1] = epoch(0.5, seconds=30.0)
        assert progress.unreached() == (
            "no trial is better than the reference yet: best dev_score 0.500, reference 0.5; "
            "best train_seconds 200.000, reference 100"
        )


def test_an_epoch_looks_only_at_trials_that_run(log, monkeypatch):
    looked_at = []
    metrics = Trial.metrics.fget
    monkeypatch.setattr(Trial, "metrics", property(lambda trial: looked_at.append(trial) or metrics(trial)))
    with progress_on(log) as progress:
        for place in range(50):
            run_trial(progress, f"t{place}", epoch(0.2 + place / 1000))
        running = record("r")
        progress.trial_started(running)
        running.epochs.append(epoch(0.1))
        looked_at.clear()
        progress.epoch_finished("r", running.epochs[-1])
    assert looked_at == [running]
    assert lines_of(log)[-1] == "r epoch 1/4: sst 0.100, sts -, dev_score 0.100"
    assert progress.unreached().endswith("best dev_score 0.249, reference 0.5")


def test_a_metric_s_name_with_a_line_break_stays_in_its_line(log):
    progress = progress_on(log)
    progress.objectives = {"sst.f1.two\nlines": Objective(direction="maximize", reference=0.5)}
    run_trial(progress, "t1", epoch(**{"sst.f1.two\nlines": 0.25}))
    assert len(lines_of(log)) == 4
    assert "best sst.f1.two lines 0.250, reference 0.5" in lines_of(log)[-1]


def test_trials_of_earlier_sessions_count_for_the_reference_too(log):
    earlier = record("t0", epochs=1)
    earlier.epochs, earlier.status = [epoch(0.45)], "finished"
    with progress_on(log) as progress:
        progress.count_earlier([earlier])
        assert "best dev_score 0.450, reference 0.5" in progress.summary()


# Lines


def test_every_event_is_one_line_that_is_not_wrapped(log):
    trial = record(learning_rate=1e-5, hidden_layers={"sst": 1}, encoder_dropout=None)
    with progress_on(log, elapsed=1000.0) as progress:
        progress.trial_started(trial)
        for score in (0.7, 0.75):
            trial.epochs.append(epoch(score))
            progress.epoch_finished("t1", trial.epochs[-1])
        trial.epochs += [epoch(), epoch()]
        trial.status = "finished"
        progress.trial_ended("t1")
        run_trial(progress, "t2", epoch(), reason="too large")
        run_trial(progress, "t3", reason="ValueError: [no] \\[way]", failed=True)
    assert lines_of(log) == [
        't1 started: learning_rate=1e-05 hidden_layers={"sst": 1} encoder_dropout=None',
        "t1 epoch 1/4: sst 0.700, sts -, dev_score 0.700",
        "t1 epoch 2/4: sst 0.750, sts -, dev_score 0.750",
        # One trial of four after 1000 s; a rectangle of 0.75 - 0.5 by 100 - 50.
        "t1 finished. 1 of 4 trials done, about 50 min left, hypervolume 12.5",
        "t2 started: ",
        "t2 epoch 1/1: sst 0.750, sts -, dev_score 0.750",
        "t2 stopped: too large. 2 of 4 trials done, 1 stopped early, about 17 min left, hypervolume 12.5",
        "t3 started: ",
        "t3 failed: ValueError: [no] \\[way]. 3 of 4 trials done, 1 stopped early, 1 failed, about 6 min left, "
        "hypervolume 12.5",
    ]


def test_nothing_is_drawn_where_nobody_watches(log):
    with progress_on(log):
        pass
    assert lines_of(log) == []


def test_a_long_number_is_shortened_and_a_text_is_not():
    setting = {"learning_rate": 1.23456789e-5, "adapter.rank": 16, "adapter.kind": "lora", "target": ["query", "value"]}
    assert config_text(record(**setting)) == (
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
        trial = record(f"r{number}")
        progress.trial_started(trial)
        trial.epochs += [epoch()] * epochs_done
    assert progress.seconds_left() == (left if left is None else pytest.approx(left, abs=2.0))


@pytest.mark.parametrize(
    ("budget", "words"), [(45.0, "about 45 s"), (600.0, "about 10 min"), (9000.0, "about 2.5 h"), (0.0, "about 0 s")]
)
def test_time_left_is_said_in_its_own_unit(log, budget, words):
    progress = progress_on(log, num_trials=None, budget=budget)
    assert progress.summary() == f"0 trials done, {words} left, hypervolume 0"


# Hypervolume


def test_the_hypervolume_is_of_the_finished_and_feasible_trials(log):
    progress = progress_on(log)
    assert progress.hypervolume() == 0.0
    run_trial(progress, "t1", epoch(0.75, 50.0))
    assert progress.hypervolume() == pytest.approx(0.25 * 50)
    run_trial(progress, "t2", epoch(0.60, 20.0))
    # The second adds what lies between 20 and 50 seconds.
    assert progress.hypervolume() == pytest.approx(0.25 * 50 + 0.10 * 30)
    added_nothing = [
        ("t3", [epoch(0.70, 55.0)], {}),  # dominated
        ("t4", [epoch(0.95, 70.0)], {}),  # beyond the constraint
        ("t5", [epoch(0.40, 1.0)], {}),  # beyond the reference
        ("t6", [epoch(0.95, 1.0)], {"reason": "stopped by hand"}),
        ("t7", [epoch(0.95, 1.0)], {"reason": "ValueError", "failed": True}),
        ("t8", [epoch(None, 1.0)], {}),
        ("t9", [epoch(math.nan, 1.0)], {}),
        ("t10", [], {}),
    ]
    for trial_id, epochs, ending in added_nothing:
        run_trial(progress, trial_id, *epochs, **ending)
        assert progress.hypervolume() == pytest.approx(15.5), trial_id
    assert (progress.done, progress.failed) == (10, 1)


def test_a_trial_counts_with_the_scores_of_its_best_epoch_and_all_its_costs(log):
    progress = progress_on(log)
    run_trial(progress, "t1", epoch(0.9, 25.0), epoch(0.6, 50.0))
    assert progress.hypervolume() == pytest.approx(0.4 * 50)


# The table


def test_a_terminal_gets_a_table_of_what_runs_and_no_lines():
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    trial = record("t7", learning_rate=1e-5)
    with progress_on(console, elapsed=1200.0) as progress:
        run_trial(progress, "t6", epoch())
        progress.trial_started(trial)
        trial.epochs.append(epoch(0.7))
        progress.epoch_finished("t7", trial.epochs[-1])
    shown = console.file.getvalue()
    assert "t6 finished" not in shown and "t7 started" not in shown
    last = shown[shown.rindex("trial ") :]
    heading, row, summary = (line.split() for line in last.splitlines()[:3])
    assert heading == ["trial", "epoch", "sst", "sts", "dev_score", "setting"]
    assert row == ["t7", "1/4", "0.700", "-", "0.700", "learning_rate=1e-05"]
    assert " ".join(summary).startswith("1 of 4 trials done, about 44 min left, hypervolume 12.5")


def test_a_failure_is_told_above_the_table():
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    with progress_on(console) as progress:
        run_trial(progress, "t1", epoch(), reason="ValueError: no", failed=True)
    assert "t1 failed: ValueError: no. 1 of 4 trials done, 1 failed" in console.file.getvalue()


def test_trials_of_an_earlier_session_are_done_and_say_nothing_of_the_time_that_is_left(log):
    earlier = [record("t0"), record("t1"), record("t2")]
    for trial, status in zip(earlier, ("finished", "stopped", "failed"), strict=True):
        trial.status = status
    earlier[1].stop_kind = "rung"
    earlier[0].epochs.append(epoch())
    with progress_on(log, elapsed=1000.0) as progress:
        progress.count_earlier(earlier)
        assert progress.summary() == "3 of 4 trials done, 1 stopped early, 1 failed, hypervolume 12.5"
        run_trial(progress, "t3", epoch())
        assert "4 of 4 trials done" in progress.summary() and "about 0 s left" in progress.summary()


def test_a_probe_says_what_the_whole_run_would_cost(log):
    with progress_on(log) as progress:
        progress.trial_started(record("t1"))
        progress.probe_finished("t1", {"peak_rss_gib": 1.5, "train_seconds": 80.0})
    [line] = [line for line in lines_of(log) if "probe" in line]
    assert line == "t1 probe: the whole run would take train_seconds 80.000"
