import math

import numpy as np
import pytest

from mtbert_ray.metrics import Objective
from mtbert_ray.pareto.objectives import (
    constraint_violation,
    is_feasible,
    losses_to_values,
    reference_losses,
    to_losses,
)

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.4, constraint=0.5),
    "peak_memory_gib": Objective(direction="minimize", reference=12.0, constraint=8.0),
}


def test_signs_flip_for_maximized_objectives_only_and_follow_the_order_of_the_objectives():
    losses = to_losses({"peak_memory_gib": 3, "dev_score": 0.7, "energy_kj": None}, OBJECTIVES)
    assert losses is not None
    assert losses.tolist() == [-0.7, 3.0]
    assert reference_losses(OBJECTIVES).tolist() == [-0.4, 12.0]
    assert losses_to_values(losses, OBJECTIVES).tolist() == [0.7, 3.0]


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf])
def test_a_trial_without_a_finite_value_has_no_losses_and_is_not_feasible(bad):
    assert to_losses({"dev_score": bad, "peak_memory_gib": 3.0}, OBJECTIVES) is None
    assert constraint_violation({"dev_score": bad, "peak_memory_gib": 3.0}, OBJECTIVES) == math.inf
    assert not is_feasible({"dev_score": bad, "peak_memory_gib": 3.0}, OBJECTIVES)


def test_a_missing_metric_is_like_a_null_one():
    assert to_losses({"dev_score": 0.7}, OBJECTIVES) is None
    assert constraint_violation({"dev_score": 0.7}, OBJECTIVES) == math.inf


def test_zero_is_a_measurement():
    losses = to_losses({"dev_score": 0.0, "peak_memory_gib": 0}, OBJECTIVES)
    assert losses is not None
    assert np.array_equal(losses, [0.0, 0.0])


@pytest.mark.parametrize(
    ("score", "memory", "violation"),
    [
        (0.5, 8.0, 0.0),  # exactly at both bounds
        (0.9, 10.0, 0.25),  # 2 GiB over 8
        (0.4, 1.0, 0.2),  # 0.1 under 0.5
        (0.4, 10.0, 0.45),  # both: they add up, and being far inside the other does not make up for it
    ],
)
def test_violation_is_the_sum_of_the_relative_excesses(score, memory, violation):
    metrics = {"dev_score": score, "peak_memory_gib": memory}
    assert constraint_violation(metrics, OBJECTIVES) == pytest.approx(violation)
    assert is_feasible(metrics, OBJECTIVES) == (violation == 0)


def test_a_constraint_of_zero_counts_in_the_metrics_own_unit():
    objectives = {"sts": Objective(direction="maximize", reference=-1.0, constraint=0.0)}
    assert constraint_violation({"sts": -0.3}, objectives) == pytest.approx(0.3)


def test_unconstrained_objectives_never_make_a_trial_infeasible():
    objectives = {"dev_score": Objective(direction="maximize", reference=0.4)}
    assert is_feasible({"dev_score": 0.1}, objectives)
    assert is_feasible({}, objectives)
