"""What each searcher adds to the conformance suite of all: an even part of a grid, a model that learns."""

import math
import subprocess
import sys

import numpy as np
import pytest

from mtbert_ray.metrics import Objective
from mtbert_ray.pareto.front import hypervolume
from mtbert_ray.study.search import SEARCHERS, Searcher
from mtbert_ray.study.search.early_results import FULL, EarlyResults
from mtbert_ray.study.space.model import SearchSpace
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=100.0),
}
NUISANCES = ("dropout", "encoder_dropout", "adapter.dropout", "warmup_fraction")
GUIDED = ("tpe", "nsga2", "gp", "front")


def space_of(algorithm: str, keys: tuple[str, ...], *, trials: int = 60, seed: int = 0) -> SearchSpace:
    search = {key: FloatRange(kind="uniform", low=0.0, high=0.9) for key in keys}
    return SearchSpace(
        name="suite", objectives=OBJECTIVES, search=search, algorithm=algorithm, trials=trials, seed=seed
    )


def num_trials_and_seeds(algorithm: str) -> tuple[int, int]:
    """A Gaussian process learns from fewer trials, and takes longer over each."""
    return (12, 1) if algorithm == "gp" else (80, 3)


def test_a_part_of_a_grid_is_drawn_from_all_of_it():
    kinds = ("none", "lora", "dora")
    search = {"adapter.kind": Choice(values=kinds), "epochs": IntRange(low=1, high=12)}
    space = SearchSpace(name="suite", objectives=OBJECTIVES, search=search, algorithm="grid", trials=12)
    searcher = SEARCHERS["grid"](space)
    settings = [searcher.ask()[1] for _ in range(12)]
    assert searcher.ask() is None
    assert {values["adapter.kind"] for values in settings} == set(kinds)


def test_importing_the_searchers_does_not_import_torch():
    code = "import sys, mtbert_ray.study.search; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("algorithm", GUIDED)
def test_learns_a_front_that_random_search_has_not_found(algorithm: str):
    # Two objectives x and (1 - x) on top of nuisances that only cost: the front is where all of these are 0.
    num_trials, num_seeds = num_trials_and_seeds(algorithm)
    nuisances = NUISANCES[: 2 if algorithm == "gp" else 4]

    def front_volume(name: str, seed: int) -> float:
        searcher = SEARCHERS[name](space_of(name, (*nuisances, "weight_decay"), trials=num_trials, seed=seed))
        points = []
        for _ in range(num_trials):
            key, values = searcher.ask()
            waste = sum(values[nuisance] for nuisance in nuisances)
            points.append(np.array([values["weight_decay"] + waste, 0.9 - values["weight_decay"] + waste]))
            searcher.tell(key, points[-1])
        return float(hypervolume(np.array(points), np.full(2, 0.9 + 0.4 * len(nuisances))))

    guided, random = ([front_volume(name, seed) for seed in range(num_seeds)] for name in (algorithm, "random"))
    assert np.mean(guided) > 1.05 * np.mean(random)


@pytest.mark.parametrize("losses_known", [True, False])
@pytest.mark.parametrize("algorithm", GUIDED)
def test_feasible_suggestions_become_more_frequent(algorithm: str, losses_known: bool):
    # What looks best on both objectives, a small dropout, breaks the constraint; a third of the range is feasible.
    num_trials, num_seeds = num_trials_and_seeds(algorithm)

    def feasible_share(seed: int) -> float:
        searcher = SEARCHERS[algorithm](space_of(algorithm, NUISANCES[:2], trials=num_trials, seed=seed))
        feasible = []
        for _ in range(num_trials):
            key, values = searcher.ask()
            violation = max(0.0, 0.6 - values["dropout"])
            losses = values["dropout"] + np.array([values["encoder_dropout"], 0.9 - values["encoder_dropout"]])
            searcher.tell(key, losses if losses_known or violation == 0.0 else None, violation)
            feasible.append(violation == 0.0)
        return float(np.mean(feasible[num_trials // 2 :]))

    assert np.mean([feasible_share(seed) for seed in range(num_seeds)]) > 0.4


@pytest.mark.parametrize("algorithm", GUIDED)
def test_the_excess_alone_shows_the_way_to_the_first_feasible_trial(algorithm: str):
    # Nothing but a corner of the space is feasible: one random setting in 81.
    num_trials, num_seeds = num_trials_and_seeds(algorithm)

    def excess_of_the_last(seed: int, *, told: bool) -> float:
        searcher = SEARCHERS[algorithm](space_of(algorithm, NUISANCES[:2], trials=num_trials, seed=seed))
        excess = []
        for _ in range(num_trials):
            key, values = searcher.ask()
            excess.append(sum(max(0.0, values[nuisance] - 0.1) for nuisance in NUISANCES[:2]))
            if told:
                searcher.tell(key, None if excess[-1] > 0 else np.ones(2), excess[-1])
            else:
                searcher.tell(key, None)
        return float(np.mean(excess[num_trials // 2 :]))

    told, failed = (
        np.mean([excess_of_the_last(seed, told=told) for seed in range(num_seeds)]) for told in (True, False)
    )
    assert told < 0.8 * failed


def pairs_of_searchers(algorithm: str) -> tuple[Searcher, Searcher]:
    first, second = (SEARCHERS[algorithm](space_of(algorithm, NUISANCES, trials=40)) for _ in range(2))
    return first, second


def losses_of(values: dict) -> np.ndarray:
    return np.array([values["dropout"], values["warmup_fraction"]])


@pytest.mark.parametrize("algorithm", ["tpe", "nsga2"])
def test_early_results_are_left_out_as_long_as_nothing_shows_what_they_lead_to(algorithm: str):
    told, never_told = pairs_of_searchers(algorithm)
    for _ in range(20):
        (key, values), asked = told.ask(), never_told.ask()
        assert (key, values) == asked
        told.tell_intermediate(key, 1, losses_of(values))
        told.tell_stopped(key)
        never_told.tell(key, None)


@pytest.mark.parametrize("algorithm", ["tpe", "nsga2"])
def test_stopped_trials_are_told_as_what_they_would_have_reached(algorithm: str):
    early, at_the_end = pairs_of_searchers(algorithm)
    change = np.array([-0.5, 2.0])
    for number in range(40):
        (key, values), asked = early.ask(), at_the_end.ask()
        assert (key, values) == asked
        early.tell_intermediate(key, 1, losses_of(values))
        if number % 3:
            early.tell_stopped(key)
        else:
            early.tell(key, losses_of(values) + change)
        at_the_end.tell(key, losses_of(values) + change)


class TestWhatATrialWouldReach:
    def results(self) -> EarlyResults:
        """Three trials at resource 1; two of them go to 3, and those to the end."""
        results = EarlyResults()
        for key, losses in enumerate(([1.0, 10.0], [2.0, 20.0], [3.0, 30.0])):
            results.add(key, 1, np.array(losses), 0.0)
        results.add(0, 3, np.array([0.5, 12.0]), 0.0)
        results.add(1, 3, np.array([1.0, 23.0]), 0.0)
        results.add(0, FULL, np.array([0.0, 13.0]), 0.0)
        results.add(1, FULL, np.array([0.5, 24.0]), 0.25)
        return results

    def test_the_median_changes_are_added_from_its_last_result_on(self):
        losses, violation = self.results().at_the_end(2)
        assert losses.tolist() == [3.0 - 0.75 - 0.5, 30.0 + 2.5 + 1.0]
        assert violation == 0.0

    def test_a_full_run_is_what_it_is(self):
        losses, violation = self.results().at_the_end(1)
        assert (losses.tolist(), violation) == ([0.5, 24.0], 0.25)

    def test_it_is_the_same_as_all_extrapolated_together(self):
        results = self.results()
        keys, losses_NM, violations_N = results.extrapolated()
        for key, losses, violation in zip(keys, losses_NM, violations_N, strict=True):
            alone = results.at_the_end(key)
            assert (alone[0].tolist(), alone[1]) == (losses.tolist(), violation)

    def test_none_where_nobody_shows_what_comes_next(self):
        results = self.results()
        assert results.at_the_end(7) is None
        results.add(3, 2, np.array([1.0, 1.0]), 0.0)  # Nobody who was here was at 3.
        assert results.at_the_end(3) is None
        nobody_finished = EarlyResults()
        for key in range(2):
            nobody_finished.add(key, 1, np.array([1.0]), 0.0)
        nobody_finished.add(0, 3, np.array([0.5]), 0.0)
        assert nobody_finished.at_the_end(0) is None
        assert nobody_finished.at_the_end(1) is None


@pytest.mark.parametrize("algorithm", ["tpe", "nsga2"])
def test_an_unknown_excess_counts_as_twice_the_worst_that_is_known(algorithm: str):
    unknown, known = pairs_of_searchers(algorithm)
    for number in range(40):
        (key, values), asked = unknown.ask(), known.ask()
        assert (key, values) == asked
        infinite = number % 4 == 3
        worst = 1.5 if number > 10 else 0.75
        excess = worst if number in (2, 10) else 0.25 * (values["dropout"] > 0.5)
        unknown.tell(key, losses_of(values), math.inf if infinite else excess)
        known.tell(key, losses_of(values), max(1.0, 2 * worst) if infinite else excess)
