"""What a trial would come to at its end: totals grow with the training, peaks and scores stay."""

import pytest

from mtbert_ray.metrics import METRICS, Objective, known_metrics, project
from mtbert_ray.tasks import SST
from mtbert_ray.trial import final_metrics, projection


def epoch(number: int, score: float, **costs: float) -> dict:
    return {"epoch": number, "sst": score, "dev_score": score, "leaderboard_score": score, **costs}


def test_totals_grow_in_proportion_and_peaks_and_shares_stay():
    metrics = {
        "train_seconds": 10.0,
        "energy_kj": 2.0,
        "cpu_seconds": None,
        "peak_rss_gib": 1.5,
        "trainable_percent": 0.3,
    }
    assert project(metrics, share=0.25) == {
        "train_seconds": 40.0,
        "energy_kj": 8.0,
        "cpu_seconds": None,
        "peak_rss_gib": 1.5,
        "trainable_percent": 0.3,
    }


def test_what_is_done_once_is_not_done_again():
    metrics = {"train_seconds": 60.0, "train_once_seconds": 50.0, "eval_seconds": 12.0, "eval_once_seconds": 10.0}
    seen = project({**metrics, "energy_kj": 6.0, "cpu_seconds": 144.0}, share=0.1)
    assert (seen["train_seconds"], seen["eval_seconds"]) == (150.0, 30.0)
    # As the time that it was spent in: training, and training and scoring.
    assert (seen["energy_kj"], seen["cpu_seconds"]) == (pytest.approx(15.0), pytest.approx(144.0 * 180 / 72))
    assert (seen["train_once_seconds"], seen["eval_once_seconds"]) == (50.0, 10.0)


def test_every_total_is_a_sum_over_the_training():
    totals = {name for name, metric in METRICS.items() if metric.over_time == "total"}
    assert totals == {"train_seconds", "eval_seconds", "gpu_seconds", "cpu_seconds", "energy_kj"}
    peaks = {name for name, metric in METRICS.items() if metric.over_time == "peak"}
    assert peaks == {"peak_memory_gib", "peak_allocated_gib", "peak_rss_gib"}


def test_a_projection_has_the_best_scores_so_far_and_the_costs_of_the_whole_run():
    epochs = [epoch(1, 0.6, train_seconds=10.0), epoch(2, 0.5, train_seconds=20.0)]
    seen = projection(epochs, ["sst"], num_epochs=8)
    assert (seen["dev_score"], seen["sst"], seen["train_seconds"], seen["best_epoch"]) == (0.6, 0.6, 80.0, 1)


def test_the_projection_of_a_trial_at_its_end_is_its_result():
    epochs = [epoch(1, 0.6, train_seconds=10.0), epoch(2, 0.7, train_seconds=21.0)]
    assert projection(epochs, ["sst"], num_epochs=2) == final_metrics(epochs, ["sst"])


def test_trials_of_different_lengths_are_compared_by_what_their_whole_runs_cost():
    short = projection([epoch(1, 0.5, train_seconds=10.0)], ["sst"], num_epochs=2)
    long = projection([epoch(1, 0.5, train_seconds=9.0)], ["sst"], num_epochs=10)
    assert short["train_seconds"] < long["train_seconds"]


def test_no_score_can_pass_one_and_no_trial_reaches_costs_of_nothing():
    metrics = known_metrics([SST])
    assert {metrics[name].best for name in ("sst", "dev_score", "leaderboard_score")} == {1.0}
    assert all(metrics[name].reaches_best for name in ("sst", "dev_score", "leaderboard_score"))
    assert (metrics["train_seconds"].best, metrics["train_seconds"].reaches_best) == (0.0, False)


@pytest.mark.parametrize(("direction", "attainable"), [("maximize", 0.4), ("maximize", 0.3), ("minimize", 0.5)])
def test_what_is_attainable_must_be_better_than_the_reference(direction: str, attainable: float):
    with pytest.raises(ValueError, match=r"attainable 0\.\d is no better than the reference 0\.4"):
        Objective(direction=direction, reference=0.4, attainable=attainable)
