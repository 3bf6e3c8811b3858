"""How sure results are said to be, against sweeps whose truth is known and against closed forms.

The simulated rates have a standard error of about 2 points (120 sweeps), so they are given 3 points.
"""

import numpy as np
import pytest
from scipy import stats
from simulated_sweep import Simulated

from mtbert_ray.metrics import Objective
from mtbert_ray.pareto.front import front_mask, hypervolume
from mtbert_ray.reporting.recommendation import recommend
from mtbert_ray.reporting.uncertainty import comparison, uncertainty_of
from mtbert_ray.scoring.dev_predictions import TaskPredictions, write_dev_predictions

POINTS = 0.03
SWEEPS = 120


def sweep_of(accuracies, *, seed, num_rows, seed_spread=0.0, num_repeats=0):
    """A sweep in which each trial costs a second more than the one before it."""
    simulated = Simulated(np.random.default_rng(seed), num_rows)
    for place, accuracy in enumerate(accuracies):

        def one(mean=accuracy):
            return float(np.clip(mean + seed_spread * simulated.rng.normal(), 0.02, 0.98))

        trial = simulated.trial(one(), train_seconds=place + 1.0)
        for _ in range(num_repeats):
            simulated.repeat(trial, one(), train_seconds=place + 1.0)
    return simulated


@pytest.mark.parametrize(("num_rows", "seed_spread", "num_repeats"), [(200, 0.0, 0), (300, 0.03, 2)])
def test_intervals_hold_the_truth_as_often_as_they_say(num_rows, seed_spread, num_repeats):
    truth = np.linspace(0.6, 0.8, 5)
    held = []
    for seed in range(SWEEPS):
        sweep = sweep_of(truth, seed=seed, num_rows=num_rows, seed_spread=seed_spread, num_repeats=num_repeats)
        _, uncertainty = sweep.uncertainty(num_draws=300, seed=seed)
        low, high = uncertainty.intervals[:, 0].T
        held += ((low <= truth) & (truth <= high)).tolist()
    assert np.mean(held) == pytest.approx(0.95, abs=POINTS)


def test_differences_of_noise_alone_are_hardly_ever_called_a_gain():
    called, called_one_by_one = 0, 0
    for seed in range(SWEEPS):
        outcome, uncertainty = sweep_of(np.full(8, 0.7), seed=seed, num_rows=200).uncertainty(num_draws=300, seed=seed)
        best, worst = (int(pick(uncertainty.estimates[:, 0])) for pick in (np.argmax, np.argmin))
        noise = uncertainty.noises[0]
        ratios = abs(noise.estimates[:, None] - noise.estimates) / np.maximum(noise.yards_of_differences, 1e-12)
        called += bool((ratios > uncertainty.critical).any())
        called_one_by_one += bool((ratios > 1.96).any())
        one = comparison(uncertainty, outcome, f"t{best}", f"t{worst}")[0]
        assert one.difference >= 0
        assert one.is_beyond_noise == (ratios[best, worst] > uncertainty.critical) == (one.low > 0)
    assert called / SWEEPS <= 0.05 + POINTS
    # The best of eight against the worst, taken as two that were named before, would be a gain every other time.
    assert called_one_by_one / SWEEPS > 0.3


def test_real_differences_are_called_one():
    outcome, uncertainty = sweep_of([0.6, 0.9], seed=1, num_rows=300).uncertainty()
    one, cost = comparison(uncertainty, outcome, "t1", "t0")
    assert one.is_beyond_noise
    assert one.low < 0.3 < one.high
    assert cost.is_beyond_noise is None  # Nothing tells how much seconds vary.
    assert np.isnan(cost.low)


def test_the_true_front_is_among_those_that_may_be_on_it():
    # The first five are the front; each of the others is dominated by one of them.
    truth = np.concatenate([np.linspace(0.6, 0.8, 5), np.linspace(0.5, 0.7, 5)])
    seconds = np.concatenate([np.arange(1.0, 6.0), np.arange(1.5, 6.5)])
    inside, observed, numbers = 0, 0, []
    for seed in range(SWEEPS):
        simulated = Simulated(np.random.default_rng(seed), 300)
        for accuracy, cost in zip(truth, seconds, strict=True):
            simulated.trial(accuracy, train_seconds=cost)
        outcome, uncertainty = simulated.uncertainty(num_draws=300, seed=seed)
        inside += bool(uncertainty.may_be_on_front[:5].all())
        observed += bool(outcome.on_front[:5].all())
        numbers.append(uncertainty.may_be_on_front.sum())
        assert (outcome.on_front <= uncertainty.may_be_on_front).all()
    assert inside / SWEEPS >= 0.95
    assert observed / SWEEPS < 0.9  # The front as it was measured lacks a true member more often.
    assert np.mean(numbers) < 8  # And not everything is let in.


def test_errors_of_scores_are_those_of_a_share():
    _, uncertainty = sweep_of([0.7, 0.8], seed=3, num_rows=500).uncertainty(num_draws=3000)
    share = uncertainty.estimates[:, 0]
    assert uncertainty.standard_errors[:, 0] == pytest.approx(np.sqrt(share * (1 - share) / 500), rel=0.05)
    assert uncertainty.sources == ("dev rows", "not known")
    assert np.isnan(uncertainty.standard_errors[:, 1]).all()
    assert np.isnan(uncertainty.intervals[:, 1]).all()
    assert "Nothing tells the noise of train time" in uncertainty.notes[0]


def test_seeds_alone_give_the_interval_of_students_t():
    simulated = sweep_of([0.7, 0.8], seed=4, num_rows=100, seed_spread=0.05, num_repeats=3)
    simulated.predictions.clear()
    _, uncertainty = simulated.uncertainty(num_draws=8000)
    runs = [[run.metrics["dev_score"] for run in (t, *simulated.repeats[t.trial_id])] for t in simulated.trials]
    pooled = np.sqrt(np.mean([np.var(values, ddof=1) for values in runs]))
    assert uncertainty.sources[0] == "4 seeds"
    assert uncertainty.estimates[:, 0] == pytest.approx(np.mean(runs, axis=1))
    assert uncertainty.standard_errors[:, 0] == pytest.approx(pooled / 2)
    reach = stats.t.ppf(0.975, 6) * pooled / 2
    expected = uncertainty.estimates[:, [0]] + [-reach, reach]
    assert uncertainty.intervals[:, 0] == pytest.approx(expected, abs=0.05 * reach)


def test_seeds_that_make_no_difference_but_in_the_rows_are_not_counted_twice():
    # Each seed is as good as the other, and they differ on the dev rows, which is in the noise of the rows.
    ratios = []
    for seed in range(60):
        simulated = sweep_of(np.full(6, 0.7), seed=seed, num_rows=200, num_repeats=2)
        _, uncertainty = simulated.uncertainty(num_draws=300, seed=seed)
        ratios.append(float(np.mean(uncertainty.standard_errors[:, 0])))
    # Var of the mean of 3 runs over rows: those they share, and a third of what is each run's own.
    truth = [
        np.mean([np.mean([r.metrics["dev_score"] for r in (t, *s.repeats[t.trial_id])]) for t in s.trials])
        for s in (sweep_of(np.full(6, 0.7), seed=k, num_rows=200, num_repeats=2) for k in range(60))
    ]
    assert 0.7 * np.std(truth) < np.mean(ratios) < 1.8 * np.std(truth)
    assert np.mean(ratios) < 0.032  # sqrt(.7 * .3 / 200), of a single run: three runs tell more.


def test_costs_of_repeats_spread_as_shares():
    simulated = Simulated(np.random.default_rng(5), 50)
    factors = [[1.0, 1.2, 0.9], [1.0, 0.8, 1.1]]
    for size, of_trial in zip((10.0, 1000.0), factors, strict=True):
        trial = simulated.trial(0.7, train_seconds=size * of_trial[0])
        for factor in of_trial[1:]:
            simulated.repeat(trial, 0.7, train_seconds=size * factor)
    _, uncertainty = simulated.uncertainty()
    pooled = np.sqrt(np.mean([np.var(np.log(of_trial), ddof=1) for of_trial in factors]))
    means = [size * np.exp(np.mean(np.log(f))) for size, f in zip((10.0, 1000.0), factors, strict=True)]
    assert uncertainty.estimates[:, 1] == pytest.approx(means)
    assert uncertainty.standard_errors[:, 1] == pytest.approx(np.array(means) * pooled / np.sqrt(3))
    assert uncertainty.sources[1] == "3 runs"
    assert (uncertainty.draws[:, :, 1] > 0).all()


def test_costs_measured_alone_are_the_estimates_and_the_others_are_brought_to_them():
    simulated = Simulated(np.random.default_rng(6), 50)
    for seconds in (10.0, 20.0, 40.0, 80.0):
        simulated.trial(0.7, train_seconds=seconds)
    simulated.alone = {"t0": {"train_seconds": 5.0}, "t1": {"train_seconds": 16.0}}
    outcome, uncertainty = simulated.uncertainty()
    load = np.sqrt(0.5 * 0.8)
    assert uncertainty.estimates[:, 1] == pytest.approx([5.0, 16.0, 40 * load, 80 * load])
    assert uncertainty.standard_errors[:2, 1] == pytest.approx([0.05, 0.16])  # The meter's share.
    assert (uncertainty.standard_errors[2:, 1] > 5).all()
    assert uncertainty.sources[1] == "2 trials measured alone"
    assert comparison(uncertainty, outcome, "t1", "t0")[1].is_beyond_noise
    assert not comparison(uncertainty, outcome, "t3", "t2")[1].is_beyond_noise


def test_parameters_are_exact():
    objectives = {
        "dev_score": Objective(direction="maximize", reference=0.0),
        "trainable_parameters": Objective(direction="minimize", reference=1e9),
    }
    simulated = Simulated(np.random.default_rng(7), 50, objectives=objectives)
    for number in (10, 20):
        simulated.trial(0.7, trainable_parameters=number)
    _, uncertainty = simulated.uncertainty()
    assert uncertainty.sources[1] == "exact"
    assert (uncertainty.standard_errors[:, 1] == 0).all()
    assert not uncertainty.notes


def test_a_trial_without_predictions_is_neither_ruled_out_nor_rules_out():
    simulated = sweep_of([0.9, 0.3, 0.2], seed=8, num_rows=200)
    assert simulated.uncertainty()[1].may_be_on_front.tolist() == [True, False, False]
    del simulated.predictions["t1"]
    outcome, uncertainty = simulated.uncertainty()
    assert uncertainty.may_be_on_front.tolist() == [True, True, False]
    assert np.isnan(uncertainty.standard_errors[1, 0])
    assert comparison(uncertainty, outcome, "t0", "t1")[0].is_beyond_noise is None
    assert any("of t1, so nothing tells the noise of dev score" in note for note in uncertainty.notes)


def test_constraints_count_with_their_noise():
    objectives = {"dev_score": Objective(direction="maximize", reference=0.0, constraint=0.7)}
    simulated = Simulated(np.random.default_rng(9), 400, objectives=objectives)
    for accuracy in (0.3, 0.69, 0.72):
        simulated.trial(accuracy)
    _, uncertainty = simulated.uncertainty()
    assert uncertainty.front_probability[0] == 0
    assert not uncertainty.may_be_on_front[0]
    assert uncertainty.may_be_on_front[2]
    assert uncertainty.front_probability.sum() <= 1.01  # One objective: one best, but for ties; at times none.


def test_front_probability_is_the_share_of_draws():
    _, uncertainty = sweep_of([0.7, 0.72, 0.71], seed=10, num_rows=200).uncertainty(num_draws=200)
    fronts = np.array([front_mask(losses) for losses in uncertainty.draws])
    assert uncertainty.front_probability == pytest.approx(fronts.mean(axis=0))
    assert uncertainty.front_probability[0] == 1  # The cheapest.


def test_predictions_are_read_from_the_folder_and_must_be_those_of_the_result(tmp_path):
    simulated = sweep_of([0.6, 0.7, 0.8, 0.9], seed=11, num_rows=100)
    for trial in simulated.trials:
        epoch = 2 if trial.trial_id == "t1" else 1  # Of another epoch than the best.
        folder = tmp_path / "trials" / trial.trial_id
        write_dev_predictions(folder, simulated.predictions[trial.trial_id], epoch=epoch)
    (tmp_path / "trials" / "t2" / "predictions" / "dev.npz").write_bytes(b"PK")
    write_dev_predictions(tmp_path / "trials" / "t3", simulated.predictions["t0"], epoch=1)  # Another trial's.
    outcome = simulated.outcome()
    uncertainty = uncertainty_of(outcome, tmp_path)
    assert np.isnan(uncertainty.standard_errors[:, 0]).tolist() == [False, True, True, True]
    assert any("t1, t2 and t3" in note for note in uncertainty.notes)
    nothing = uncertainty_of(outcome, None)
    assert nothing.sources == ("not known", "not known")
    assert nothing.may_be_on_front.tolist() == outcome.on_front.tolist()


def test_a_sweep_without_results_has_no_noise():
    simulated = Simulated(np.random.default_rng(12), 10)
    _, uncertainty = simulated.uncertainty(num_draws=10)
    assert uncertainty.draws.shape == (10, 0, 2)
    assert uncertainty.intervals.shape == (0, 2, 2)
    assert uncertainty.as_good_as == {}


def test_hair_thin_members_stay_out_of_the_short_list_by_the_tolerance_of_the_yaml():
    objectives = {
        "dev_score": Objective(direction="maximize", reference=0.0, tolerance=0.02),
        "train_seconds": Objective(direction="minimize", reference=100.0, tolerance=0.5),
    }
    simulated = Simulated(np.random.default_rng(13), 1000, objectives=objectives)
    for accuracy, seconds in ((0.9, 10.0), (0.7, 9.8), (0.5, 2.0)):
        simulated.trial(accuracy, train_seconds=seconds)
    _, uncertainty = simulated.uncertainty(num_draws=50)
    assert uncertainty.tolerance.tolist() == [0.02, 0.5]
    assert uncertainty.as_good_as == {"t1": "t0"}


def test_the_default_tolerance_is_a_standard_error_of_a_difference_and_the_meters_share():
    outcome, uncertainty = sweep_of([0.7, 0.8], seed=14, num_rows=300).uncertainty()
    assert uncertainty.tolerance[0] == pytest.approx(uncertainty.noises[0].errors_of_differences()[0, 1])
    assert uncertainty.tolerance[1] == pytest.approx(0.01 * 1.5)
    assert len(outcome.front) == 2


def test_hypervolume_of_a_simulated_sweep_is_the_sum_of_its_rectangles():
    outcome = sweep_of(np.linspace(0.5, 0.9, 12), seed=15, num_rows=100).outcome()
    volume, best = 0.0, 0.0
    # From the cheapest on: each better one adds the strip above the best so far, as long as it is cheaper.
    for trial in sorted(outcome.compared, key=lambda t: t.metrics["train_seconds"]):
        gain = max(0.0, trial.metrics["dev_score"] - best)
        volume += gain * (1e6 - trial.metrics["train_seconds"])
        best += gain
    assert hypervolume(outcome.losses, np.array([0.0, 1e6])) == pytest.approx(volume, rel=1e-12)


@pytest.mark.parametrize("num_rows", [0, 3])
def test_a_file_that_is_not_the_trial_s_takes_the_noise_of_no_other(num_rows):
    sweep = sweep_of([0.9, 0.6, 0.8], seed=1, num_rows=400)
    other = np.zeros(num_rows)
    sweep.predictions["t2"] = {"quora": TaskPredictions.of(other, other, num_classes=2)}
    outcome, uncertainty = sweep.uncertainty(num_draws=200)
    assert uncertainty.critical < 5
    assert np.isnan(uncertainty.standard_errors[:, 0]).tolist() == [False, False, True]
    assert comparison(uncertainty, outcome, "t0", "t1")[0].is_beyond_noise
    picks = recommend(outcome, uncertainty).picks
    assert picks[0].trial.trial_id == "t0" and "the noise of 1 other trial is not known" in picks[0].reason


def test_with_a_handful_of_dev_rows_nothing_is_beyond_noise():
    sweep = Simulated(np.random.default_rng(0), 3)
    for seconds, value in ((1.0, 1.0), (2.0, 0.0)):
        trial = sweep.trial(0.5, train_seconds=seconds)
        rows = TaskPredictions.of(np.full(3, value), np.ones(3), num_classes=2)
        sweep.predictions[trial.trial_id] = {"quora": rows}
        trial.epochs[0] |= {"quora": value, "dev_score": value, "leaderboard_score": value}
    outcome, uncertainty = sweep.uncertainty(num_draws=100)
    one = comparison(uncertainty, outcome, "t0", "t1")[0]
    assert (one.difference, one.is_beyond_noise) == (1.0, False)
    assert uncertainty.may_be_on_front.all()
