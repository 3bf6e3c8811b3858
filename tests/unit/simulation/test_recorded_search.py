"""Which recorded trial comes next: in order, shuffled, or the nearest to a suggestion."""

from collections.abc import Iterator

import pytest
from recorded_sweep import RecordedSweep

from mtbert_ray.simulation.clock import Clock, simulate
from mtbert_ray.simulation.compare import Simulation
from mtbert_ray.simulation.recorded import Recorded, read_recorded
from mtbert_ray.simulation.recorded_search import SUGGESTING, InOrder, Nearest, recorded_problem, simulated_start
from mtbert_ray.study.study import Study


def order(recorded: Recorded, searcher: str, seed: int, *, workers: int = 1) -> list[int]:
    """The places of the trials in the order in which they start."""
    problem = recorded_problem(recorded)
    simulation: Simulation = problem.start(searcher, seed, lambda: None)
    places = {id(trial.curve): place for place, trial in enumerate(recorded.trials)}
    started = []

    def curve_of(event):
        curve = simulation.curve_of(event)
        started.append(places[id(curve)])
        return curve

    simulate(simulation.study, curve_of, simulation.clock, workers=workers, mean_seconds=problem.mean_seconds)
    return started


def test_the_first_seed_has_the_order_of_the_journal_and_others_shuffle_it(graded):
    recorded = read_recorded([graded])
    assert order(recorded, "recorded", 0) == list(range(9))
    assert order(recorded, "recorded", 1) == order(recorded, "recorded", 1) != list(range(9))
    assert sorted(order(recorded, "recorded", 1)) == list(range(9))


@pytest.mark.parametrize("searcher", SUGGESTING)
def test_every_searcher_gets_through_all_of_them_once(graded, searcher):
    recorded = read_recorded([graded])
    first = order(recorded, searcher, 0, workers=2)
    assert sorted(first) == list(range(9))
    assert order(recorded, searcher, 0, workers=2) == first


class Scripted:
    """A searcher that suggests what it was given and keeps what it is told."""

    def __init__(self, *suggestions: dict) -> None:
        self.suggestions = list(enumerate(suggestions))
        self.told: list = []

    def ask(self):
        return self.suggestions.pop(0) if self.suggestions else None

    def open(self, values) -> int:
        self.told.append(("open", dict(values)))
        return 100 + len(self.told)

    def tell(self, key, losses, violation=0.0):
        self.told.append((key, losses.tolist()))

    def tell_intermediate(self, key, resource, losses, violation=0.0):
        pass

    def tell_stopped(self, key: int) -> None:
        self.told.append(("stopped", key))


PLAIN = {"learning_rate": 1e-4, "adapter.kind": "none"}
RANK_2 = {"learning_rate": 1e-4, "adapter.kind": "lora", "adapter.rank": 2}
RANK_16 = {"learning_rate": 1e-4, "adapter.kind": "lora", "adapter.rank": 16}


@pytest.fixture
def conditional(tmp_path) -> Recorded:
    """The first has no adapter, the second and third have one, and so a rank."""
    sweep = RecordedSweep(tmp_path / "s")
    for number, values in enumerate((PLAIN, RANK_2, RANK_16)):
        sweep.trial(f"t{number}", [0.5, 0.6], values=values)
    return read_recorded([sweep.finish()])


def nearest(recorded: Recorded, *suggestions: dict) -> tuple[list[tuple[int, int]], list]:
    """Place and key of each trial in order, and what the searcher was told."""
    scripted = Scripted(*suggestions)
    searcher = Nearest(recorded, scripted, recorded.space)
    asked: Iterator = iter(searcher.ask, None)
    return [(searcher.place, key) for key, _ in asked], scripted.told


def test_a_recorded_suggestion_keeps_its_key(conditional):
    trials, told = nearest(conditional, RANK_16, RANK_2, PLAIN)
    assert trials == [(2, 0), (1, 1), (0, 2)] and told == []


def test_the_nearest_replaces_a_suggestion_and_the_searcher_is_told_which_it_was(conditional):
    trials, told = nearest(conditional, {**RANK_16, "adapter.rank": 12, "learning_rate": 2e-4})
    assert trials[0] == (2, 102)
    assert told[:2] == [("stopped", 0), ("open", RANK_16)]


def test_one_that_has_been_run_is_not_run_again(conditional):
    trials, _ = nearest(conditional, RANK_16, RANK_16)
    assert [place for place, _ in trials][:2] == [2, 1]


def test_without_suggestions_the_rest_comes_in_order(conditional):
    trials, told = nearest(conditional, RANK_2)
    assert [place for place, _ in trials] == [1, 0, 2]
    assert told == [("open", PLAIN), ("open", RANK_16)]


def test_in_order_no_config_comes_from_elsewhere(conditional):
    with pytest.raises(NotImplementedError):
        InOrder(conditional, 0).open(PLAIN)


def test_results_are_told_of_the_config_that_was_run(graded):
    recorded = read_recorded([graded])
    worst, best = recorded.trials[8], recorded.trials[0]
    scripted = Scripted({**worst.values, "learning_rate": 9.9e-4}, best.values)
    searcher, clock = Nearest(recorded, scripted, recorded.space), Clock()
    study = Study(
        simulated_start("s", recorded.objectives, num_trials=None, seed=0),
        space=recorded.space,
        searcher=lambda space: searcher,
        pruner=lambda space, objectives: None,
        config_of=lambda values: dict(recorded.trials[searcher.place].config),
        clock=clock,
    )
    simulate(study, lambda started: recorded.trials[searcher.place].curve, clock, workers=1, mean_seconds=1.0)
    assert scripted.told[:4] == [
        ("stopped", 0),
        ("open", worst.values),
        (102, worst.curve.losses.tolist()),
        (1, best.curve.losses.tolist()),
    ]
