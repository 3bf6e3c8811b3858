"""Which recorded trial comes next: in order, shuffled, or the nearest to a suggestion."""

import pytest
from recorded_sweep import RecordedSweep

from mtbert_ray.simulation.clock import simulate
from mtbert_ray.simulation.recorded import read_recorded
from mtbert_ray.simulation.recorded_search import SUGGESTING, recorded_problem
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.objectives import _nearest


def names(problem, searcher: str, seed: int) -> list[str]:
    trials, _ = problem.trials(searcher, seed)
    return [trial.name for trial in trials]


def test_the_first_seed_has_the_order_of_the_journal_and_others_shuffle_it(graded):
    problem = recorded_problem(read_recorded([graded]))
    in_order = [f"t{place}" for place in range(9)]
    assert names(problem, "recorded", 0) == in_order
    assert names(problem, "recorded", 1) == names(problem, "recorded", 1) != in_order
    assert sorted(names(problem, "recorded", 1)) == in_order


@pytest.mark.parametrize("searcher", SUGGESTING)
def test_every_searcher_gets_through_all_of_them_once(graded, searcher):
    problem = recorded_problem(read_recorded([graded]))

    def order(seed: int) -> list[str]:
        trials, learns = problem.trials(searcher, seed)
        outcome = simulate(trials, learns, None, workers=2, mean_seconds=problem.mean_seconds)
        return [trial.name for trial in outcome.trials]

    assert sorted(order(0)) == [f"t{place}" for place in range(9)]
    assert order(0) == order(0)


class Scripted:
    """A searcher that suggests what it was given and remembers what it is told."""

    def __init__(self, *suggestions: dict) -> None:
        self.suggestions = list(enumerate(suggestions))
        self.told: list = []

    def ask(self):
        return self.suggestions.pop(0) if self.suggestions else None

    def open(self, values) -> int:
        self.told.append(("open", dict(values)))
        return 100 + len(self.told)

    def tell_stopped(self, key: int) -> None:
        self.told.append(("stopped", key))


PLAIN = {"learning_rate": 1e-4, "adapter.kind": "none"}
RANK_2 = {"learning_rate": 1e-4, "adapter.kind": "lora", "adapter.rank": 2}
RANK_16 = {"learning_rate": 1e-4, "adapter.kind": "lora", "adapter.rank": 16}


@pytest.fixture
def conditional(tmp_path):
    """t0 has no adapter, t1 and t2 have one, and so a rank."""
    sweep = RecordedSweep(tmp_path / "s")
    for number, setting in enumerate((PLAIN, RANK_2, RANK_16)):
        sweep.trial(f"t{number}", [0.5, 0.6], setting=setting)
    return read_recorded([sweep.finish()])


def nearest(recorded, *suggestions: dict):
    searcher = Scripted(*suggestions)
    assert isinstance(recorded.space, SearchSpace)
    return [(trial.name, trial.key) for trial in _nearest(recorded, searcher, recorded.space)], searcher.told


def test_a_recorded_suggestion_keeps_its_key(conditional):
    order, told = nearest(conditional, RANK_16, RANK_2, PLAIN)
    assert order == [("t2", 0), ("t1", 1), ("t0", 2)] and told == []


def test_the_nearest_stands_in_and_the_searcher_is_told_which_it_was(conditional):
    order, told = nearest(conditional, {**RANK_16, "adapter.rank": 12, "learning_rate": 2e-4})
    assert order[0] == ("t2", 102)
    assert told[:2] == [("stopped", 0), ("open", RANK_16)]


def test_one_that_has_been_run_is_not_run_again(conditional):
    order, _ = nearest(conditional, RANK_16, RANK_16)
    assert [name for name, _ in order][:2] == ["t2", "t1"]


def test_without_suggestions_the_rest_comes_in_order(conditional):
    order, told = nearest(conditional, RANK_2)
    assert [name for name, _ in order] == ["t1", "t0", "t2"]
    assert told == [("open", PLAIN), ("open", RANK_16)]


class Listening(Scripted):
    """One that remembers results as well."""

    def tell_intermediate(self, key, resource, losses, violation=0.0):
        pass

    def tell(self, key, losses, violation=0.0):
        self.told.append((key, losses.tolist()))


def test_results_are_told_of_the_setting_that_was_run(graded):
    recorded = read_recorded([graded])
    worst, best = recorded.trials[8], recorded.trials[0]
    searcher = Listening({**worst.values, "learning_rate": 9.9e-4}, best.values)
    simulate(_nearest(recorded, searcher, recorded.space), searcher, None, workers=1, mean_seconds=1.0)
    assert searcher.told[:4] == [
        ("stopped", 0),
        ("open", worst.values),
        (102, worst.curve.losses[-1].tolist()),
        (1, best.curve.losses[-1].tolist()),
    ]
