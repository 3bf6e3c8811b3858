"""Which constraints count where trials are ranked: those on costs. A score may still rise."""

import math

from fake_tune import run

from mtbert_ray.metrics import METRICS, Metric, Objective


class TestConstraintsAtRungs:
    def stops(self, bounded: dict, *, metrics: dict = METRICS) -> list[bool]:
        """Who stops of two at a rung: the second scores less, at less cost."""
        one = run(bounded, metrics=metrics)
        names = list(bounded)
        first, second = {names[0]: 0.5, names[1]: 9.0}, {names[0]: 0.4, names[1]: 1.0}
        return [one.report(name, 1, **values) == "STOP" for name, values in (("1", first), ("2", second))]

    SCORE = Objective(direction="maximise", reference=0.0, constraint=0.8)
    SECONDS = Objective(direction="minimise", reference=100.0)

    def test_a_score_below_its_constraint_may_still_rise(self):
        assert self.stops({"dev_score": self.SCORE, "train_seconds": self.SECONDS}) == [False, False]

    def test_of_a_metric_of_which_nothing_is_known_it_counts(self):
        bounded = {"accuracy": self.SCORE, "seconds": self.SECONDS}
        assert self.stops(bounded) == [False, True]
        known = {"accuracy": Metric(unit="", direction="maximise", meaning="")}
        assert self.stops(bounded, metrics=known) == [False, False]

    def test_one_on_a_cost_counts_even_within_the_margin(self):
        one = run({"dev_score": "max", "train_seconds": "min"}, constraints={"train_seconds": 50.0})
        assert one.report("1", 1, dev_score=0.5, train_seconds=49.0) == "CONTINUE"
        assert one.report("2", 1, dev_score=0.6, train_seconds=51.0) == "STOP"
        assert one.scheduler.reason_of("t2") == "iteration 1: exceeds its constraints by 0.02"

    def test_at_the_end_a_score_that_falls_short_rules_out_nobody(self):
        one = run({"dev_score": self.SCORE, "train_seconds": self.SECONDS})
        for name, score in (("1", 0.7), ("2", 1.0)):
            one.add(name)
            one.complete(name, 9, dev_score=score, train_seconds=1.0)
            answer = "CONTINUE" if score < 0.8 else "STOP"
            assert one.report(f"probe of {name}", 0, train_seconds=20.0) == answer

    def test_a_bound_without_a_value_is_worse_than_any(self):
        one = run({"dev_score": "max"}, constraints={"train_loss": 2.0})
        assert one.report("1", 1, dev_score=0.5, train_loss=3.0) == "CONTINUE"
        assert one.report("2", 1, dev_score=0.6, train_loss=math.nan) == "STOP"
        assert one.scheduler.reason_of("t2") == "iteration 1: a metric under a constraint has no value"
