"""What reruns of the front gave: means, spread, and the front by these figures."""

from statistics import mean, stdev

import numpy as np
from simulated_sweep import Simulated

from mtbert_ray.reporting.repeats import rerun_summary
from mtbert_ray.reporting.wording import quantity


def summary_of(sweep):
    return rerun_summary(*sweep.uncertainty(num_draws=50))


def test_without_reruns_there_is_nothing_to_tell():
    sweep = Simulated(np.random.default_rng(0), 50)
    sweep.trial(0.8, train_seconds=1.0)
    assert summary_of(sweep) is None


def test_means_and_spread_over_seeds_and_who_leaves_and_comes_onto_the_front():
    sweep = Simulated(np.random.default_rng(0), 400)
    lucky, solid = sweep.trial(0.9, train_seconds=2.0), sweep.trial(0.8, train_seconds=1.0)
    other = sweep.trial(0.87, train_seconds=3.0)
    for accuracy in (0.7, 0.72):
        sweep.repeat(lucky, accuracy, train_seconds=2.0)
    sweep.repeat(solid, 0.8, train_seconds=1.0)
    summary = summary_of(sweep)
    assert [(one.trial_id, one.num_runs) for one in summary.trials] == [("t0", 3), ("t1", 2)]
    runs = [lucky, *sweep.repeats["t0"]]
    scores = [run.metrics["dev_score"] for run in runs]
    row = summary.trials[0]
    assert row.own[0] == quantity("dev_score", scores[0])
    assert row.estimates[0] == f"{mean(scores):.3f} ± {stdev(scores):.3f}"
    assert summary.text == "By these figures the front changes: t0 leaves it and t2 comes onto it, by a single run."
    assert other.trial_id == "t2"


def test_a_front_that_holds_is_said_to():
    sweep = Simulated(np.random.default_rng(1), 400)
    first = sweep.trial(0.9, train_seconds=1.0)
    sweep.repeat(first, 0.9, train_seconds=1.0)
    assert summary_of(sweep).text == "By these figures the front is the same."
