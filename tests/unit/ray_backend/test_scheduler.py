"""The scheduler by the calls that Ray Tune makes: what it answers, and how it says why."""

import logging
import math
import subprocess
import sys

import pytest
from fake_tune import AXES, TWO, FakeTrial, run
from hypothesis import given, settings
from hypothesis import strategies as st

from mtbert_ray.errors import ConfigError
from mtbert_ray.metrics import Objective
from mtbert_ray.ray_backend.scheduler import ParetoScheduler
from mtbert_ray.study.pruning.rungs import HalvingConfig

ASHA = HalvingConfig(grace=1, keep=1 / 3)


def test_each_objective_has_its_own_direction_and_the_reason_names_who_is_better():
    one = run()
    assert one.report("1", 1, accuracy=0.9, seconds=9.0) == "CONTINUE"
    assert one.report("2", 1, accuracy=0.5, seconds=1.0) == "CONTINUE"
    assert one.report("3", 1, accuracy=0.5, seconds=9.5) == "STOP"
    assert one.report("4", 1, accuracy=0.95, seconds=20.0) == "CONTINUE"
    assert one.scheduler.reason_of("t3") == (
        "iteration 1: dominated on both objectives by t1, t2; priority 1, the cut is 0"
    )
    assert one.scheduler.reason_of("t1") is None
    assert list(one.scheduler.decisions) == ["t3"]
    assert one.scheduler.debug_string() == "ParetoScheduler: 1 of 4 trials stopped; results at rungs: 4 at 1, 0 at 3"


def test_nested_metrics_under_a_prefix_and_another_time():
    one = run(
        {"dev_score": Objective(direction="maximise", reference=0.0)}, prefix="projection/", time_attr="epoch", max_t=5
    )
    one.add("1")
    one.add("2")
    answers = [
        one.scheduler.on_trial_result(one, one.trials[name], {"epoch": 1, "projection/dev_score": score})
        for name, score in (("1", 0.9), ("2", 0.1))
    ]
    assert answers == ["CONTINUE", "STOP"]
    assert one.scheduler.reason_of("t2") == "epoch 1: worse than t1, of 1 at this rung"


def test_a_value_that_is_not_a_number_stops_and_a_missing_one_is_waited_for():
    one = run()
    one.report("1", 1, accuracy=0.9, seconds=1.0)
    assert one.report("2", 1, accuracy=0.5) == "CONTINUE"
    assert one.report("3", 1, accuracy=math.nan, seconds=0.5) == "STOP"
    assert one.report("4", 1, accuracy=None, seconds=0.5) == "STOP"
    assert one.scheduler.reason_of("t3") == "iteration 1: an objective or a constrained metric has no value"
    assert list(one.scheduler.decisions) == ["t3", "t4"]


class TestTellingBitByBit:
    def test_a_probe_that_breaks_a_constraint_ends_before_its_first_score(self):
        one = run(constraints={"memory_gib": 8.0})
        assert one.report("1", 1, memory_gib=11.2) == "STOP"
        assert one.scheduler.reason_of("t1") == "probe: its memory_gib would be 11.2, limit 8"
        assert one.scheduler.decisions["t1"].kind == "probe"

    def test_what_was_told_once_counts_from_then_on(self):
        one = run(constraints={"memory_gib": 8.0})
        for name, gib in (("1", 7.0), ("2", 8.5)):  # Within the margin at the probe, and still infeasible at a rung.
            assert one.report(name, 1, memory_gib=gib) == "CONTINUE"
        assert one.report("1", 2, accuracy=0.1, seconds=9.0) == "CONTINUE"
        assert one.report("2", 2, accuracy=0.9, seconds=1.0) == "STOP"
        assert one.scheduler.reason_of("t2") == "iteration 2: exceeds its constraints by 0.0625"

    def test_a_trial_that_tells_nothing_of_a_constraint_is_warned_of_once(self, caplog: pytest.LogCaptureFixture):
        one = run(constraints={"memory_gib": 8.0})
        with caplog.at_level(logging.WARNING):
            for name in "12":
                assert one.report(name, 1, accuracy=0.1, seconds=9.0) == "CONTINUE"
        assert [record.getMessage() for record in caplog.records] == [
            "trial t1 is at a rung and has not reported memory_gib yet: nothing is compared"
        ]

    def test_who_is_stopped_for_its_costs_at_a_rung_still_counts_there(self):
        metrics = {"peak_memory_gib": Objective(direction="minimise", reference=9.0, constraint=8.0)}
        one = run({"accuracy": "max"} | metrics)
        for name in "123":
            assert one.report(name, 1, accuracy=0.9, peak_memory_gib=9.0 + int(name)) == "STOP"
        assert one.scheduler.reason_of("t3") == "iteration 1: needs 12 GiB, limit 8"
        assert one.scheduler.decisions["t3"].kind == "constraint"
        one.report("4", 1, accuracy=0.9, peak_memory_gib=2.0)
        # Behind the one, and still better than the median of four.
        assert one.report("5", 1, accuracy=0.8, peak_memory_gib=3.0) == "CONTINUE"


class TestTheEnd:
    def test_nothing_is_decided_at_max_t_which_ends_a_trial(self):
        one = run()
        one.report("1", 9, accuracy=0.9, seconds=1.0)
        assert one.report("2", 9, accuracy=0.1, seconds=9.0) == "STOP"
        assert one.scheduler.decisions == {}

    def test_trials_that_end_by_themselves_are_neither_ended_nor_judged_by_their_last_result(self):
        one = run(length_of=lambda config: config["epochs"])
        one.add("1", epochs=9)
        one.add("2", epochs=3)
        for iteration in (1, 3, 9):
            assert one.report("1", iteration, accuracy=0.9, seconds=1.0) == "CONTINUE"
        assert one.report("2", 3, accuracy=0.1, seconds=9.0) == "CONTINUE"

    def test_a_finished_trial_is_compared_with_at_the_rung_it_reached(self):
        one = run()
        one.add("1")
        one.complete("1", 4, accuracy=0.9, seconds=1.0)
        assert one.report("2", 3, accuracy=0.1, seconds=9.0) == "STOP"
        assert one.report("3", 1, accuracy=0.1, seconds=9.0) == "CONTINUE"

    def test_costs_are_compared_with_those_who_finished_and_not_with_those_who_were_stopped(self):
        objectives = {
            "accuracy": Objective(direction="maximise", reference=0.0, attainable=0.9),
            "seconds": Objective(direction="minimise", reference=100.0),
        }
        one = run(objectives)
        one.report("1", 1, accuracy=0.9, seconds=10.0)
        assert one.report("2", 1, accuracy=0.8, seconds=11.0) == "STOP"
        one.complete("2", 1, accuracy=0.9, seconds=1.0)
        assert one.report("3", 1, seconds=20.0) == "CONTINUE"
        one.complete("1", 9, accuracy=0.9, seconds=10.0)
        assert one.report("4", 1, seconds=20.0) == "STOP"
        assert one.scheduler.reason_of("t4") == "probe: dominated by t1 on costs, even if accuracy came to 0.9"

    def test_a_trial_that_ends_without_a_score_teaches_nothing(self):
        one = run()
        one.add("1")
        one.scheduler.on_trial_complete(one, one.trials["1"], {"training_iteration": 1, "out_of_memory": "4 GiB"})
        one.scheduler.on_trial_complete(one, one.trials["1"], {})
        one.scheduler.on_trial_error(one, one.trials["1"])
        assert one.report("2", 1, accuracy=0.1, seconds=9.0) == "CONTINUE"


class TestMistakes:
    @pytest.mark.parametrize(
        ("objectives", "options", "told"),
        [
            ({}, {}, "objectives: none is given; name at least one metric, as {'accuracy': 'max'}"),
            ({"a": "maximise"}, {}, "objectives: a has 'maximise'; it can be 'max', 'min' or an Objective"),
            (TWO, {"constraints": {"seconds": "3600"}}, "constraints: seconds has '3600'; it must be a finite number"),
            (
                TWO,
                {"probe_margin": 1.0},
                "max_t is a whole number from 1 on, and probe_margin from 0 to below 1; got 9, 1.0",
            ),
            (TWO, {"max_t": 0}, "max_t is a whole number from 1 on, and probe_margin from 0 to below 1; got 0, 0.1"),
            (
                {"a": Objective(direction="minimise", reference=2.0)},
                {"constraints": {"a": 1.0}},
                "constraints: a is given as an Objective, which has its own `constraint`; set it there",
            ),
        ],
    )
    def test_arguments(self, objectives: dict, options: dict, told: str):
        with pytest.raises(ConfigError) as raised:
            ParetoScheduler(objectives, **{"max_t": 9, **options})
        assert str(raised.value) == told

    def test_all_at_once(self):
        with pytest.raises(ConfigError) as raised:
            ParetoScheduler({"a": "up", "b": "down"}, max_t=9, constraints={"c": math.nan})
        assert len(raised.value.problems) == 3

    def test_one_metric_in_tune_config(self):
        scheduler = ParetoScheduler(TWO, max_t=9)
        assert scheduler.set_search_properties(None, None) is True
        for metric, mode in (("accuracy", "max"), (None, "max"), ("accuracy", None)):
            with pytest.raises(ConfigError, match=r"leave both out with a ParetoScheduler, .* accuracy, seconds"):
                scheduler.set_search_properties(metric, mode)

    def test_a_result_without_any_of_the_metrics(self):
        one = run()
        with pytest.raises(ConfigError) as raised:
            one.report("1", 1, loss=0.3, **{"eval/accuracy": 0.9, "config/lr": 1e-3})
        assert str(raised.value) == (
            "trial t1 reported none of accuracy, seconds; it has loss, eval/accuracy. Name the objectives as the trial "
            "reports them, nested ones with a slash"
        )

    def test_a_result_without_the_time(self):
        one = run(time_attr="epoch")
        with pytest.raises(ConfigError) as raised:
            one.report("1", 1, accuracy=0.9, seconds=1.0)
        assert str(raised.value) == "trial t1 reported no epoch, the `time_attr`; it has accuracy, seconds"

    def test_a_value_that_is_no_number(self):
        with pytest.raises(ConfigError, match="accuracy: a trial reported 'high', which is not a number"):
            run().report("1", 1, accuracy="high", seconds=1.0)

    def test_two_trials_of_one_name(self):
        one = run()
        one.add("1")
        other = one.trials["2"] = FakeTrial("2", name="t1")
        with pytest.raises(ConfigError, match="two trials are named t1"):
            one.scheduler.on_trial_add(one, other)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_with_one_objective_it_is_rays_own_asha(mode: str):
    import numpy as np
    from ray.tune.schedulers import ASHAScheduler

    rng = np.random.default_rng(3)
    asha = ASHAScheduler(metric="x", mode=mode, max_t=20, grace_period=1, reduction_factor=3)
    one = run({"x": mode}, max_t=20, halving=ASHA)
    stopped = 0
    for number in range(200):
        trial = one.add(str(number))
        asha.on_trial_add(one, trial)
        for iteration in range(1, 21):
            metrics = {"x": float(rng.normal(1 / iteration))}
            answer = one.report(str(number), iteration, **metrics)
            result = {"training_iteration": iteration, **metrics}
            assert answer == asha.on_trial_result(one, trial, result)
            if answer == "STOP":
                stopped += iteration < 20
                one.complete(str(number), iteration, **metrics)
                asha.on_trial_complete(one, trial, result)
                break
    assert stopped > 80


numbers = st.integers(0, 4).map(float)


@settings(max_examples=60)
@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=7), st.randoms())
def test_what_does_not_depend_on_the_order_of_arrival(trials: list, random):
    """Who is on the final front of a rung goes on, and who breaks a constraint by its costs ends, in every order."""

    def answers(order: list[int]) -> dict[int, tuple[str, str]]:
        one = run(AXES, constraints={"memory": 3.0}, probe_margin=0.0)
        result = {}
        for number in order:
            accuracy, seconds, memory = trials[number]
            probe = one.report(str(number), 0, seconds=seconds, memory=memory)
            rung = probe if probe == "STOP" else one.report(str(number), 1, accuracy=accuracy, seconds=seconds)
            result[number] = (probe, rung)
        return result

    order = list(range(len(trials)))
    first, second = answers(order), answers(random.sample(order, len(order)))
    for number, (accuracy, seconds, memory) in enumerate(trials):
        too_much = memory > 3.0 or seconds > 3.5
        assert (first[number][0] == "STOP") == (second[number][0] == "STOP") == too_much
        better = [
            (a, s)
            for a, s, m in trials
            if m <= 3.0 and s <= 3.5 and a >= accuracy and s <= seconds and (a, s) != (accuracy, seconds)
        ]
        if not too_much and not better:
            assert first[number][1] == second[number][1] == "CONTINUE"


def test_importing_it_imports_neither_torch_nor_transformers():
    code = "import sys, mtbert_ray.ray_backend.scheduler; print({'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
