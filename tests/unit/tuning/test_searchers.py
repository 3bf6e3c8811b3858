"""One conformance suite for all searchers, and what TPE and NSGA-II must add to it."""

import pickle
import warnings

import numpy as np
import pytest

from mtbert_ray.metrics import Objective
from mtbert_ray.pareto.hypervolume import hypervolume
from mtbert_ray.tuning.searchers import SEARCHERS, Searcher
from mtbert_ray.tuning.space.load import SearchSpace
from mtbert_ray.tuning.space.model import setting_key
from mtbert_ray.tuning.space.parameters import Choice, FloatRange, IntRange

OBJECTIVES = {
    "dev_score": Objective(direction="maximise", reference=0.0),
    "train_seconds": Objective(direction="minimise", reference=100.0),
}
DISCRETE = {
    "adapter.kind": Choice(values=("none", "lora", "dora")),
    "adapter.rank": Choice(values=(2, 8), when={"adapter.kind": ("lora", "dora")}),
    "finetune": Choice(values=("full", "heads_only"), when={"adapter.kind": ("none",)}),
    "hidden_layers": Choice(values=(1, {"sst": 1, "quora": 2, "sts": 2})),
    "epochs": IntRange(low=1, high=6, step=2),
}
NUM_DISCRETE = (2 + 2 * 2) * 2 * 3
CONTINUOUS = {
    **DISCRETE,
    "learning_rate": FloatRange(kind="loguniform", low=1e-5, high=1e-3),
    "dropout": FloatRange(kind="uniform", low=0.0, high=0.5),
}


def space_of(algorithm: str, search: dict, *, trials: int | None = 60, seed: int = 0) -> SearchSpace:
    return SearchSpace(
        name="suite", objectives=OBJECTIVES, search=search, algorithm=algorithm, trials=trials, seed=seed
    )


def search_of(algorithm: str) -> dict:
    return DISCRETE if algorithm == "grid" else CONTINUOUS


def losses_of(values: dict) -> np.ndarray:
    cost = {"none": 3.0, "lora": 1.0, "dora": 2.0}[values["adapter.kind"]] + values["epochs"]
    return np.array([-cost + 10 * values.get("dropout", 0.0), cost])


def run(searcher: Searcher, count: int, *, delay: int = 3) -> list[dict]:
    """Ask `count` times with `delay` results outstanding, telling the newest first and every fifth as failed."""
    settings, waiting = [], []
    for number in range(count):
        asked = searcher.ask()
        if asked is None:
            break
        key, values = asked
        settings.append(values)
        waiting.append((key, values))
        if len(waiting) > delay:
            told_key, told_values = waiting.pop()
            violation = 1.0 if told_values["epochs"] == 5 else 0.0
            searcher.tell(told_key, None if number % 5 == 0 else losses_of(told_values), violation)
    for key, values in waiting:
        searcher.tell(key, losses_of(values))
    return settings


@pytest.mark.parametrize("algorithm", SEARCHERS)
class TestEverySearcher:
    def test_stays_inside_the_space_and_its_conditions(self, algorithm: str):
        space = space_of(algorithm, search_of(algorithm))
        settings = run(SEARCHERS[algorithm](space), 60)
        assert len(settings) == (NUM_DISCRETE if algorithm == "grid" else 60)
        for values in settings:
            has_adapter = values["adapter.kind"] != "none"
            assert ("adapter.rank" in values) is has_adapter
            assert ("finetune" in values) is not has_adapter
            assert all(space.search[key].takes(value) for key, value in values.items())
            space.trial_config(values)

    def test_the_same_seed_gives_the_same_settings(self, algorithm: str):
        first, second, other = (
            run(SEARCHERS[algorithm](space_of(algorithm, search_of(algorithm), trials=30, seed=seed)), 30)
            for seed in (1, 1, 2)
        )
        assert first == second
        assert first != other

    def test_never_repeats_itself_and_ends_when_all_is_tried(self, algorithm: str):
        settings = run(SEARCHERS[algorithm](space_of(algorithm, DISCRETE, trials=200)), 200)
        assert len(settings) == NUM_DISCRETE
        assert len({setting_key(values) for values in settings}) == NUM_DISCRETE

    def test_survives_trials_that_all_fail(self, algorithm: str):
        searcher = SEARCHERS[algorithm](space_of(algorithm, search_of(algorithm)))
        for failure in (None, np.array([np.nan, 1.0]), np.array([1.0, np.inf])) * 8:
            asked = searcher.ask()
            assert asked is not None
            searcher.tell(asked[0], failure)

    def test_refuses_a_result_that_nobody_waits_for(self, algorithm: str):
        searcher = SEARCHERS[algorithm](space_of(algorithm, search_of(algorithm)))
        key, values = searcher.ask()
        searcher.tell(key, losses_of(values))
        with pytest.raises(KeyError):
            searcher.tell(key, losses_of(values))
        with pytest.raises(KeyError):
            searcher.tell_progress(key, 1, losses_of(values))
        with pytest.raises(KeyError):
            searcher.tell_stopped(key)

    def test_takes_intermediate_results_and_early_ends(self, algorithm: str):
        searcher = SEARCHERS[algorithm](space_of(algorithm, search_of(algorithm)))
        for number in range(NUM_DISCRETE):
            key, values = searcher.ask()
            for epoch in (1, 3):
                searcher.tell_progress(key, epoch, None if number % 7 == 0 else losses_of(values), number % 2 * 0.5)
            if number % 3:
                searcher.tell_stopped(key)
            else:
                searcher.tell(key, losses_of(values))
            with pytest.raises(KeyError):
                searcher.tell_stopped(key)

    @pytest.mark.parametrize("after", [0, 5, 25])
    def test_goes_on_from_a_pickle_as_if_nothing_happened(self, algorithm: str, after: int):
        searcher = SEARCHERS[algorithm](space_of(algorithm, search_of(algorithm), trials=40))
        run(searcher, after)
        outstanding = searcher.ask()
        copy = pickle.loads(pickle.dumps(searcher))
        for one in (searcher, copy):
            one.tell(outstanding[0], losses_of(outstanding[1]))
        assert run(searcher, 10) == run(copy, 10)

    def test_says_nothing_to_the_user(self, algorithm: str, capfd: pytest.CaptureFixture):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(SEARCHERS[algorithm](space_of(algorithm, search_of(algorithm))), 30)
        assert capfd.readouterr() == ("", "")


def test_a_part_of_a_grid_is_drawn_from_all_of_it():
    settings = run(SEARCHERS["grid"](space_of("grid", DISCRETE, trials=12)), 100)
    assert len(settings) == 12
    assert {values["adapter.kind"] for values in settings} == {"none", "lora", "dora"}


@pytest.mark.parametrize("algorithm", ["tpe", "nsga2", "front"])
def test_learns_a_front_that_random_search_has_not_found(algorithm: str):
    # Two objectives x and (1 - x) on top of four nuisances that only cost: the front is where all of these are 0.
    nuisances = ("dropout", "encoder_dropout", "adapter.dropout", "warmup_fraction")
    search = {key: FloatRange(kind="uniform", low=0.0, high=0.9) for key in (*nuisances, "weight_decay")}

    def front_volume(name: str, seed: int) -> float:
        searcher = SEARCHERS[name](space_of(name, search, trials=80, seed=seed))
        points = []
        for _ in range(80):
            key, values = searcher.ask()
            waste = sum(values[nuisance] for nuisance in nuisances)
            losses = np.array([values["weight_decay"] + waste, 0.9 - values["weight_decay"] + waste])
            searcher.tell(key, losses)
            points.append(losses)
        return float(hypervolume(np.array(points), np.array([2.5, 2.5])))

    seeds = range(3)
    assert np.mean([front_volume(algorithm, seed) for seed in seeds]) > 1.05 * np.mean(
        [front_volume("random", seed) for seed in seeds]
    )


@pytest.mark.parametrize("algorithm", ["tpe", "nsga2"])
def test_early_results_are_never_taken_for_full_ones(algorithm: str):
    told, never_told = (SEARCHERS[algorithm](space_of(algorithm, CONTINUOUS)) for _ in range(2))
    for number in range(40):
        (key, values), (same_key, same_values) = told.ask(), never_told.ask()
        assert (key, values) == (same_key, same_values)
        told.tell_progress(key, 1, losses_of(values))
        for searcher in (told, never_told):
            if number % 3:
                searcher.tell_stopped(key)
            else:
                searcher.tell(key, losses_of(values))


@pytest.mark.parametrize("algorithm", ["tpe", "nsga2"])
def test_infeasible_trials_are_avoided(algorithm: str):
    # What looks best on both objectives, a small dropout, breaks the constraint.
    keys = ("dropout", "encoder_dropout", "adapter.dropout", "warmup_fraction")
    search = {key: FloatRange(kind="uniform", low=0.0, high=0.9) for key in keys}

    def feasible_share(seed: int, *, told: bool) -> float:
        searcher = SEARCHERS[algorithm](space_of(algorithm, search, trials=80, seed=seed))
        feasible = []
        for _ in range(80):
            key, values = searcher.ask()
            violation = max(0.0, 0.6 - values["dropout"])
            searcher.tell(key, np.array([values["dropout"]] * 2), violation if told else 0.0)
            feasible.append(violation == 0.0)
        return float(np.mean(feasible[40:]))

    assert np.mean([feasible_share(seed, told=True) for seed in range(3)]) > 0.5  # A third of the range is feasible.
    assert np.mean([feasible_share(seed, told=False) for seed in range(3)]) < 0.25
