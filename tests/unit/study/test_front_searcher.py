"""What breeding from the front must add to the conformance suite of all searchers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtbert_ray.metrics import Objective
from mtbert_ray.pareto.front import hypervolume
from mtbert_ray.study.search.front import FrontSearcher, OffspringSuggest
from mtbert_ray.study.space.model import SearchSpace
from mtbert_ray.study.space.parameters import FloatRange

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=100.0),
}
NUISANCES = ("dropout", "encoder_dropout", "adapter.dropout", "warmup_fraction")
SEARCH = {key: FloatRange(kind="uniform", low=0.0, high=0.9) for key in (*NUISANCES, "weight_decay")}


def searcher_of(seed: int = 0) -> FrontSearcher:
    return FrontSearcher(SearchSpace(name="suite", objectives=OBJECTIVES, search=SEARCH, algorithm="front", seed=seed))


def losses_of(values: dict) -> np.ndarray:
    """Two objectives that trade `weight_decay`, and nuisances that only cost: the front is where those are 0."""
    waste = sum(values[nuisance] for nuisance in NUISANCES)
    return np.array([values["weight_decay"] + waste, 0.9 - values["weight_decay"] + waste])


def waste_of_the_last(searcher: FrontSearcher, count: int, result) -> float:
    """Ask and tell `count` times and return the mean waste of the last quarter."""
    waste = []
    for _ in range(count):
        key, values = searcher.ask()
        result(searcher, key, values)
        waste.append(sum(values[nuisance] for nuisance in NUISANCES))
    return float(np.mean(waste[-count // 4 :]))


def stopped_early(searcher: FrontSearcher, key: int, values: dict) -> None:
    searcher.tell_intermediate(key, 1, losses_of(values))
    searcher.tell_stopped(key)


def failed(searcher: FrontSearcher, key: int, values: dict) -> None:
    searcher.tell(key, None)


def test_learns_from_trials_that_were_all_stopped():
    learned = np.mean([waste_of_the_last(searcher_of(seed), 120, stopped_early) for seed in range(3)])
    nothing = np.mean([waste_of_the_last(searcher_of(seed), 120, failed) for seed in range(3)])
    assert learned < 0.8 * nothing


class TestACrashAfterAnEpoch:
    """A region that looks best after one epoch, and where every trial crashes in the second."""

    DEADLY = 0.6

    def share_in_it(self, crash) -> float:
        """Return which share of the later suggestions lies there."""
        inside = []
        for seed in range(3):
            searcher = searcher_of(seed)
            for number in range(90):
                key, values = searcher.ask()
                deadly = values["dropout"] > self.DEADLY
                searcher.tell_intermediate(key, 1, losses_of(values) - 5.0 * deadly)
                if deadly:
                    crash(searcher, key)
                else:
                    searcher.tell(key, losses_of(values))
                if number >= 45:
                    inside.append(deadly)
        return float(np.mean(inside))

    @pytest.mark.parametrize("losses", [None, np.array([np.nan, 1.0])])
    def test_is_learned_from_and_not_bred_from(self, losses: np.ndarray | None):
        # A third of the space; by what is drawn unscreened alone a twentieth.
        assert self.share_in_it(lambda searcher, key: searcher.tell(key, losses)) < 0.15

    def test_without_the_crash_it_would_be_sought_out(self):
        assert self.share_in_it(lambda searcher, key: searcher.tell_stopped(key)) > 0.5

    def test_takes_back_what_the_model_was_fitted_to(self):
        searcher = searcher_of()
        running = []
        for _ in range(6):
            key, values = searcher.ask()
            searcher.tell_intermediate(key, 1, losses_of(values))
            running.append(key)
        searcher.ask()
        for key in running[:5]:
            searcher.tell(key, None)
        for _ in range(4):  # All that is left to compare with exceeds something.
            searcher.tell(searcher.ask()[0], None, 0.5)
        searcher.tell(running[5], None)
        assert all(searcher.ask() is not None for _ in range(10))


def test_a_score_that_falls_short_early_is_not_infeasible_for_ever():
    # Nobody meets the constraint after one epoch, and everybody gains as much until the end.
    objectives = {
        "dev_score": Objective(direction="maximize", reference=-9.0, constraint=0.0),
        "train_seconds": Objective(direction="minimize", reference=100.0),
    }

    def waste(seed: int, *, meets: bool) -> float:
        space = SearchSpace(name="suite", objectives=objectives, search=SEARCH, algorithm="front", seed=seed)

        def one(searcher: FrontSearcher, key: int, values: dict) -> None:
            final = losses_of(values) + np.array([-3.0 if meets else 1.0, 0.0])
            early = final + np.array([5.0, 0.0])
            searcher.tell_intermediate(key, 1, early, early[0])
            if key % 5:
                searcher.tell_stopped(key)
            else:
                searcher.tell(key, final, max(0.0, final[0]))

        searcher = FrontSearcher(space)
        last = waste_of_the_last(searcher, 100, one)
        extrapolated = searcher._results.extrapolated()[2]
        assert (extrapolated > 0).mean() < 0.5 if meets else (extrapolated > 0).all()
        return last

    assert np.mean([waste(seed, meets=True) for seed in range(3)]) < 1.2


def test_the_furthest_results_are_believed_before_early_ones():
    # After one epoch it looks as if waste were good; full runs show that it is not.
    def misleading(searcher: FrontSearcher, key: int, values: dict) -> None:
        searcher.tell_intermediate(key, 1, -losses_of(values))
        searcher.tell(key, losses_of(values))

    def misled(searcher: FrontSearcher, key: int, values: dict) -> None:
        searcher.tell_intermediate(key, 1, -losses_of(values))
        searcher.tell_stopped(key)

    told = np.mean([waste_of_the_last(searcher_of(seed), 120, misleading) for seed in range(3)])
    nothing = np.mean([waste_of_the_last(searcher_of(seed), 120, failed) for seed in range(3)])
    fooled = np.mean([waste_of_the_last(searcher_of(seed), 120, misled) for seed in range(3)])
    assert told < 0.8 * nothing < nothing < fooled


def test_what_is_not_allowed_is_not_bred_from():
    def front_is_forbidden(searcher: FrontSearcher, key: int, values: dict) -> None:
        searcher.tell(key, losses_of(values), max(0.0, 2.0 - sum(values[nuisance] for nuisance in NUISANCES)))

    bred = np.mean([waste_of_the_last(searcher_of(seed), 120, front_is_forbidden) for seed in range(3)])
    assert bred > 1.7  # The mean of the whole space is 1.8, and 0.2 is where the objectives alone would lead.


def test_the_front_is_covered_and_not_one_point_of_it():
    searcher = searcher_of()
    points = []
    for _ in range(150):
        key, values = searcher.ask()
        points.append(losses_of(values))
        searcher.tell(key, points[-1])
    best = np.array([[0.9 * share, 0.9 * (1 - share)] for share in np.linspace(0, 1, 50)])
    reference = np.array([2.0, 2.0])
    assert hypervolume(np.array(points), reference) > 0.75 * hypervolume(best, reference)


class TestOffspring:
    def suggest(self, *parents: dict, rate: float = 0.0, spread: float = 0.1, seed: int = 0) -> OffspringSuggest:
        return OffspringSuggest(np.random.default_rng(seed), parents, mutation_rate=rate, spread=spread)

    def test_without_mutation_every_value_is_a_parents(self):
        suggest = self.suggest({"a": 0.25, "b": 4, "c": "x"}, {"a": 0.75, "b": 8, "c": "y"})
        for _ in range(20):
            assert suggest.real("a", 0.0, 1.0, log=False) in (0.25, 0.75)
            assert suggest.integer("b", 2, 16, log=False, step=2) in (4, 8)
            assert suggest.categorical("c", ("x", "y", "z")) in ("x", "y")

    def test_a_key_that_one_parent_lacks_comes_from_the_other(self):
        suggest = self.suggest({"a": 0.25}, {})
        assert {suggest.real("a", 0.0, 1.0, log=False) for _ in range(20)} == {0.25}

    def test_a_key_that_no_parent_has_is_drawn(self):
        suggest = self.suggest({})
        assert len({suggest.real("a", 0.0, 1.0, log=False) for _ in range(20)}) == 20
        assert {suggest.integer("b", 0, 4, log=False, step=2) for _ in range(40)} == {0, 2, 4}
        assert {suggest.categorical("c", ("x", "y")) for _ in range(40)} == {"x", "y"}

    def test_a_mutated_number_is_near_on_its_own_scale(self):
        suggest = self.suggest({"rate": 1e-3}, rate=1.0, spread=0.1)
        drawn = np.array([suggest.real("rate", 1e-5, 1e-1, log=True) for _ in range(2000)])
        exponents = np.log10(drawn)
        assert abs(exponents.mean() + 3) < 0.05
        assert abs(exponents.std() - 0.4) < 0.03  # A tenth of four decades.

    def test_a_mutated_choice_may_be_none_of_hashable_kind(self):
        choices = (1, {"sst": 1, "quora": 2})
        suggest = self.suggest({"layers": choices[1]}, rate=0.5)
        assert all(suggest.categorical("layers", choices) in choices for _ in range(20))

    @given(
        low=st.integers(1, 20),
        steps=st.integers(0, 6),
        step=st.integers(1, 5),
        log=st.booleans(),
        spread=st.floats(0.01, 3.0),
        seed=st.integers(0, 99),
    )
    def test_a_mutated_integer_is_another_one_of_the_range(self, low, steps, step, log, spread, seed):
        step = 1 if log else step
        allowed = [low + step * number for number in range(steps + 1)]
        value = allowed[seed % len(allowed)]
        suggest = self.suggest({"a": value}, rate=1.0, spread=spread, seed=seed)
        drawn = suggest.integer("a", low, allowed[-1], log=log, step=step)
        assert drawn in allowed
        assert drawn != value or len(allowed) == 1

    @pytest.mark.parametrize("log", [True, False])
    def test_bounds_hold_and_do_not_collect(self, log: bool):
        suggest = self.suggest({"a": 0.99}, rate=1.0, spread=0.5)
        drawn = [suggest.real("a", 0.01, 1.0, log=log) for _ in range(500)]
        assert all(0.01 <= value <= 1.0 for value in drawn)
        assert max(drawn.count(bound) for bound in (0.01, 1.0)) < 100
