"""How far a trial that was stopped would exceed its constraints at its end, and what of it is taken back."""

import math

import pytest

from mtbert_ray.metrics import Objective
from mtbert_ray.pareto.objectives import constraint_violation, to_losses
from mtbert_ray.study.search.early_results import FULL, EarlyResults


class TestViolationsExtrapolated:
    OBJECTIVES = {  # noqa: RUF012
        "dev_score": Objective(direction="maximize", reference=0.0, constraint=0.8),
        "train_seconds": Objective(direction="minimize", reference=100.0, constraint=50.0),
    }

    def results(self, objectives: dict | None = None) -> EarlyResults:
        """One full run that gained 0.5 of score; its cost was known from the start."""
        results = EarlyResults(self.OBJECTIVES if objectives is None else objectives)
        self.add(results, 0, 1, 0.375, 40.0)
        self.add(results, 0, FULL, 0.875, 40.0)
        return results

    def add(self, results: EarlyResults, key: int, resource: float, score: float, seconds: float) -> None:
        metrics = {"dev_score": score, "train_seconds": seconds}
        losses = to_losses(metrics, self.OBJECTIVES)
        results.add(key, resource, losses, constraint_violation(metrics, self.OBJECTIVES))

    def test_they_follow_from_the_losses_that_are_expected(self):
        results = self.results()
        self.add(results, 1, 1, 0.5, 40.0)
        self.add(results, 2, 1, 0.125, 40.0)
        self.add(results, 3, 1, 0.5, 75.0)  # Its cost does not recover.
        expected = [0.0, 0.0, pytest.approx((0.8 - 0.625) / 0.8), pytest.approx(0.5)]
        assert results.extrapolated()[2].tolist() == expected
        assert [results.at_the_end(key)[1] for key in range(4)] == expected

    def test_one_that_was_ended_for_its_costs_stays_what_it_was_told_to_be(self):
        results = self.results()
        for key, violation in enumerate((0.5, math.inf), start=1):
            self.add(results, key, 1, 0.5, 40.0)
            results.set_violation(key, violation)
        assert results.extrapolated()[2].tolist() == [0.0, 0.5, math.inf]

    def test_without_constraints_they_are_what_was_told(self):
        unbound = {name: axis.model_copy(update={"constraint": None}) for name, axis in self.OBJECTIVES.items()}
        results = self.results(unbound)
        self.add(results, 1, 1, 0.4, 40.0)
        assert results.extrapolated()[2].tolist() == [0.0, 0.5]

    def test_what_is_discarded_leaves_no_trace(self):
        results = self.results()
        self.add(results, 1, 1, 0.1, 40.0)
        self.add(results, 1, 2, 0.2, 40.0)
        assert results.discard(1)
        assert not results.discard(1)
        assert (len(results), 1 in results, results.at_the_end(1)) == (1, False, None)
        expected, given = self.results().extrapolated(), results.extrapolated()
        assert given[0] == expected[0]
        assert all((one == other).all() for one, other in zip(given[1:], expected[1:], strict=True))
