"""Pruners by name: each decides what the part it is made of decides."""

import numpy as np
import pytest

from mtbert_ray.metrics import METRICS, Objective
from mtbert_ray.pareto.objectives import to_losses
from mtbert_ray.simulation.pruners import ASHA, EPSILON_NET, Costs, pruners_of
from mtbert_ray.study.pruning.rungs import HalvingConfig, Rungs

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "peak_rss_gib": Objective(direction="minimize", reference=8.0, constraint=4.0),
}
PRUNERS = pruners_of(OBJECTIVES, HalvingConfig(grace_period=1))
AS_IN_A_SWEEP = pruners_of(OBJECTIVES, HalvingConfig(grace_period=1), Costs(metrics=METRICS, margin=0.1))


def metrics_of(dev_score: float, peak_rss_gib: float) -> dict:
    return {"dev_score": dev_score, "peak_rss_gib": peak_rss_gib}


def results() -> list[tuple[str, dict]]:
    points = np.random.default_rng(0).random((40, 2)).tolist()
    return [(f"t{number}", metrics_of(*point)) for number, point in enumerate(points)]


def stops_of(pruner) -> list[bool]:
    return [pruner.prune(trial, 1, metrics) is not None for trial, metrics in results()]


def test_fifo_has_no_pruner():
    assert PRUNERS["fifo"].start(seed=0, max_epochs=9) is None
    assert PRUNERS["fifo"].levels(9) == ()


@pytest.mark.parametrize(
    ("pruners", "name", "halving", "shown"),
    [
        (PRUNERS, "pareto", HalvingConfig(grace_period=1), slice(None)),
        (AS_IN_A_SWEEP, "pareto", HalvingConfig(grace_period=1), slice(None)),
        (PRUNERS, "epsilon_net", EPSILON_NET, slice(None)),
        (PRUNERS, "asha:dev_score", ASHA, slice(0, 1)),
        (PRUNERS, "asha:peak_rss_gib", ASHA, slice(1, 2)),
    ],
)
def test_each_decides_at_rungs_as_these_do(pruners, name, halving, shown):
    pruner, rungs = pruners[name].start(seed=0, max_epochs=9), Rungs(halving, 9)
    stops = stops_of(pruner)
    expected = [rungs.report(trial, 1, to_losses(metrics, OBJECTIVES)[shown]).stop for trial, metrics in results()]
    assert stops == expected and any(stops) and not all(stops)
    assert list(pruner.decisions) == [trial for (trial, _), stop in zip(results(), stops, strict=True) if stop]
    assert pruners[name].levels(9) == (1, 3)


def test_the_four_differ():
    started = [pruner.start(seed=0, max_epochs=9) for name, pruner in PRUNERS.items() if name != "fifo"]
    assert len({tuple(stops_of(pruner)) for pruner in started}) == 4


def test_the_seed_draws_the_share_that_runs_to_the_end():
    pruner = pruners_of(OBJECTIVES, HalvingConfig(grace_period=1, share_to_end=0.5))["pareto"]
    first, again, other = (stops_of(pruner.start(seed=seed, max_epochs=9)) for seed in (0, 0, 1))
    assert first == again != other


class TestCosts:
    def start(self, name: str = "pareto"):
        return AS_IN_A_SWEEP[name].start(seed=0, max_epochs=9)

    def test_between_rungs_a_cost_beyond_its_constraint_ends_a_trial(self):
        pruner = self.start()
        assert pruner.prune("t0", 2, metrics_of(0.9, 4.1)).violation > 0
        assert pruner.prune("t1", 2, metrics_of(0.1, 3.9)) is None

    def test_a_trial_that_cannot_reach_the_front_ends(self):
        pruner = self.start()
        pruner.end("t0", 9, metrics_of(1.0, 1.0), finished=True)
        decision = pruner.prune("t1", 2, metrics_of(0.5, 2.0))
        assert (decision.reason, decision.violation) == ("dominated_on_cost", 0.0)

    @pytest.mark.parametrize("name", ["epsilon_net", "asha:dev_score"])
    def test_others_look_at_rungs_only(self, name):
        pruner = self.start(name)
        pruner.end("t0", 9, metrics_of(1.0, 1.0), finished=True)
        assert pruner.prune("t1", 2, metrics_of(0.5, 2.0)) is None


def test_short_trials_that_ended_are_compared_with():
    pruner = PRUNERS["asha:dev_score"].start(seed=0, max_epochs=9)
    pruner.end("short", 3, metrics_of(0.9, 1.0), finished=True)
    assert pruner.prune("long", 3, metrics_of(0.1, 1.0)) is not None
