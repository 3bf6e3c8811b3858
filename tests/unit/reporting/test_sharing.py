"""What else kept the machine busy: marks of a trial, and the warning where it was not this sweep's doing."""

import pytest

from mtbert_ray.reporting.sharing import cpus_beyond_sweep, marks_of, sharing_notes
from mtbert_ray.trial import Sweep, Trial

CONFIG = {"tasks": [{"name": "sst"}], "epochs": 1}


def ran(name, start, end, *, cpu_seconds, others_cpus):
    metrics = {"epoch": 1, "cpu_seconds": cpu_seconds, "others_cpus": others_cpus}
    times = {"started": float(start), "ended": float(end)}
    return Trial(trial_id=name, hyperparameters={}, config=CONFIG, status="finished", epochs=[metrics], **times)


def sweep_of(*trials):
    return Sweep(started=None, trials=list(trials))


def test_trials_whose_costs_others_may_have_changed_are_marked():
    assert marks_of({}) == marks_of({"gpu_shared": 0, "others_cpus": 0.1}) == marks_of({"others_cpus": None}) == []
    assert marks_of({"gpu_shared": 1, "others_cpus": 1.26}) == [
        "shared its GPU with other processes",
        "other processes kept 1.3 CPUs of its node busy",
    ]


def test_the_sweep_s_own_trials_are_no_strangers():
    sweep = sweep_of(
        ran("t0", 0, 100, cpu_seconds=100, others_cpus=1.0),
        ran("t1", 0, 50, cpu_seconds=50, others_cpus=1.0),
        ran("t2", 50, 100, cpu_seconds=50, others_cpus=1.2),
    )
    assert cpus_beyond_sweep(sweep) == pytest.approx({"t0": 0.0, "t1": 0.0, "t2": 0.2})
    assert list(sharing_notes(sweep)) == []


def test_others_are_warned_of_with_the_trial_that_had_most_of_them():
    sweep = sweep_of(
        ran("t0", 0, 100, cpu_seconds=100, others_cpus=2.0),
        ran("t1", 0, 50, cpu_seconds=50, others_cpus=3.5),
        ran("t2", 100, 200, cpu_seconds=90, others_cpus=0.3),
        ran("t3", 200, 300, cpu_seconds=90, others_cpus=None),
    )
    assert cpus_beyond_sweep(sweep) == pytest.approx({"t0": 1.5, "t1": 2.5, "t2": 0.3})
    (note,) = sharing_notes(sweep)
    assert "during 2 trials" in note and "(t1: 2.5)" in note and "--remeasure front" in note


def test_beside_a_trial_that_still_runs_or_was_interrupted_nothing_is_known():
    running = Trial(trial_id="t1", hyperparameters={}, config=CONFIG, started=50.0)
    again = ran("t1", 50, 100, cpu_seconds=50, others_cpus=0.0)
    again.attempts = 2
    for other in (running, again):
        sweep = sweep_of(ran("t0", 0, 100, cpu_seconds=100, others_cpus=2.0), other)
        assert cpus_beyond_sweep(sweep) == {}
