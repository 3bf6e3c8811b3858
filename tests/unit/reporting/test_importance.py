"""Importance of hyperparameters: Optuna's own numbers, and intervals that say how little few trials tell."""

import math
import warnings

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from mtbert_ray.config import TrialConfig
from mtbert_ray.events import SweepStarted
from mtbert_ray.metrics import Objective
from mtbert_ray.pareto.front import pareto_ranks
from mtbert_ray.reporting.importance import FRONT_TARGET, MIN_TRIALS, best_share, importance_of
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.trial import Sweep, Trial

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "peak_memory_gib": Objective(direction="minimize", reference=100.0, constraint=10.0),
    "train_seconds": Objective(direction="minimize", reference=1000.0),
}
SEARCH = {
    "adapter.kind": {"kind": "choice", "values": ["none", "lora", "dora"]},
    "adapter.rank": {"kind": "int", "low": 2, "high": 16, "step": 2, "when": {"adapter.kind": ["lora", "dora"]}},
    "learning_rate": {"kind": "loguniform", "low": 1e-5, "high": 1e-3},
    "dropout": {"kind": "uniform", "low": 0.0, "high": 0.5},
    "batch_size": {"kind": "int", "low": 1, "high": 300, "log": True},
    "hidden_layers": {"kind": "choice", "values": [1, {"sst": 2}]},
    "weight_decay": {"kind": "uniform", "low": 0.01, "high": 0.01},
}
OPTUNAS: dict[str, BaseDistribution] = {
    "adapter.kind": CategoricalDistribution((0, 1, 2)),
    "adapter.rank": IntDistribution(2, 16, step=2),
    "learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
    "batch_size": IntDistribution(1, 300, log=True),
    "hidden_layers": CategoricalDistribution((0, 1)),
    "weight_decay": FloatDistribution(0.01, 0.01),
}
TASKS = TrialConfig().model_dump(mode="json")["tasks"]


def drawn(rng):
    kind = SEARCH["adapter.kind"]["values"][rng.integers(3)]
    values = {"adapter.kind": kind}
    if kind != "none":
        values["adapter.rank"] = int(2 * rng.integers(1, 9))
    return values | {
        "learning_rate": float(10 ** rng.uniform(-5, -3)),
        "dropout": float(rng.uniform(0, 0.5)),
        "batch_size": int(np.exp(rng.uniform(0, np.log(300)))),
        "hidden_layers": SEARCH["hidden_layers"]["values"][rng.integers(2)],
        "weight_decay": 0.01,
    }


def of_rate_and_kind(values, rng):
    """The score depends on the rate, the memory on the adapter, the time on nothing."""
    return {
        "dev_score": -((math.log10(values["learning_rate"]) + 4) ** 2) + rng.normal(0, 0.05),
        "peak_memory_gib": {"none": 12, "lora": 4, "dora": 8}[values["adapter.kind"]] + rng.normal(0, 1.5),
        "train_seconds": rng.random(),
    }


def sweep_of(num_trials, seed=0, metrics=of_rate_and_kind, search=SEARCH, objectives=OBJECTIVES):
    rng = np.random.default_rng(seed)
    started = SweepStarted(
        name="s",
        space={"search": search},
        objectives=objectives,
        hyperparameters=tuple(SEARCH),
        tasks=("sst", "quora", "sts"),
        num_trials=num_trials,
        seed=0,
        versions={},
        git_revision=None,
        hardware={},
    )
    trials = []
    for number in range(num_trials):
        values = drawn(rng)
        trial = Trial(trial_id=f"t{number}", hyperparameters=values, config={"tasks": TASKS, "epochs": 1}, started=0.0)
        trial.epochs, trial.status, trial.ended = [metrics(values, rng)], "finished", float(number)
        trials.append(trial)
    return outcome_of(Sweep(started=started, trials=trials))


def optunas_importance(outcome, losses_N):
    """The shares by Optuna's own evaluator, of losses as the only objective."""
    study = optuna.create_study()
    for trial, loss in zip(outcome.compared, losses_N, strict=True):
        params = dict(trial.hyperparameters)
        for name in ("adapter.kind", "hidden_layers"):
            params[name] = SEARCH[name]["values"].index(params[name])
        distributions = {name: OPTUNAS[name] for name in params}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=loss))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best_share(len(outcome.compared)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.importance.get_param_importances(study, evaluator=evaluator)


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.parametrize(("num_trials", "seed"), [(10, 1), (14, 2), (40, 3), (41, 4), (300, 5)])
def test_the_shares_are_optunas(num_trials, seed):
    outcome = sweep_of(num_trials, seed)
    found = importance_of(outcome, num_draws=1)
    losses = {name: outcome.losses[:, place] for place, name in enumerate(OBJECTIVES)}
    ranks_N = np.full(num_trials, 1e6)
    ranks_N[outcome.feasible] = pareto_ranks(outcome.losses[outcome.feasible])
    assert not outcome.feasible.all()
    losses[FRONT_TARGET] = ranks_N
    assert list(found) == list(losses)
    for target, losses_N in losses.items():
        expected = optunas_importance(outcome, losses_N)
        assert "weight_decay" not in found[target]  # It has a single value.
        assert expected.pop("weight_decay", 0) == 0
        assert {name: share for name, (share, _, _) in found[target].items()} == pytest.approx(expected, abs=1e-7)


def test_what_decides_stands_out_beyond_the_intervals_of_what_does_not():
    found = importance_of(sweep_of(300))
    score, memory = found["dev_score"], found["peak_memory_gib"]
    assert score["learning_rate"][1] > max(high for name, (_, _, high) in score.items() if name != "learning_rate")
    assert max(memory, key=memory.__getitem__) == "adapter.kind"
    for target in found.values():
        assert sum(share for share, _, _ in target.values()) == pytest.approx(1)
        assert all(0 <= low <= share <= high <= 1 for share, low, high in target.values())


def test_intervals_narrow_with_more_trials():
    few, many = (importance_of(sweep_of(count))["dev_score"]["learning_rate"] for count in (20, 500))
    assert few[2] - few[1] > 2 * (many[2] - many[1])


def test_draws_are_of_the_seed():
    outcome = sweep_of(30)
    assert importance_of(outcome, seed=1) == importance_of(outcome, seed=1) != importance_of(outcome, seed=2)


def test_too_few_trials_and_nothing_searched_say_nothing():
    assert importance_of(sweep_of(MIN_TRIALS - 1)) == {}
    assert importance_of(sweep_of(MIN_TRIALS)) != {}


def test_where_all_trials_are_equal_nothing_matters():
    found = importance_of(sweep_of(20, metrics=lambda values, rng: dict.fromkeys(OBJECTIVES, 1.0)))
    assert set(found["dev_score"].values()) == {(0.0, 0.0, 0.0)}


def test_one_objective_has_no_front():
    found = importance_of(sweep_of(20, objectives={"dev_score": OBJECTIVES["dev_score"]}))
    assert list(found) == ["dev_score"]


@pytest.mark.parametrize(
    "space",
    [
        None,
        {},
        {**SEARCH, "learning_rate": {"kind": "loguniform", "low": -1, "high": 1}},
        {**SEARCH, "dropout": {"kind": "uniform", "low": -1e308, "high": 1e308}},
        {**SEARCH, "batch_size": {"kind": "int", "low": 0, "high": 10**300}},
        {**SEARCH, "adapter.kind": ["none", "lora"]},
    ],
)
def test_a_space_of_another_version_or_made_up_is_read_from_the_values(space):
    found = importance_of(sweep_of(20, search=space), num_draws=5)
    assert sum(share for share, _, _ in found["dev_score"].values()) == pytest.approx(1)
