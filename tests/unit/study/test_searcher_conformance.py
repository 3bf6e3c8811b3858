"""One suite that every searcher passes, whatever it learns from what it is told."""

import math
import pickle
import warnings

import numpy as np
import pytest

from mtbert_ray.metrics import Objective
from mtbert_ray.study.search import SEARCHERS, Searcher
from mtbert_ray.study.space.model import SearchSpace, config_key
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange

SCORE = {"dev_score": Objective(direction="maximize", reference=0.0)}
OBJECTIVES = SCORE | {"train_seconds": Objective(direction="minimize", reference=100.0)}
CONDITIONAL = {
    "adapter.kind": Choice(values=("none", "lora", "dora")),
    "adapter.rank": Choice(values=(2, 8), when={"adapter.kind": ("lora", "dora")}),
    "finetune": Choice(values=("full", "heads_only"), when={"adapter.kind": ("none",)}),
}
NUM_CONDITIONAL = 2 + 2 * 2
DISCRETE = {
    **CONDITIONAL,
    "hidden_layers": Choice(values=(1, {"sst": 1, "quora": 2, "sts": 2})),
    "epochs": IntRange(low=1, high=6, step=2),
}
CONTINUOUS = {
    **DISCRETE,
    "learning_rate": FloatRange(kind="loguniform", low=1e-5, high=1e-3),
    "dropout": FloatRange(kind="uniform", low=0.0, high=0.5),
}
SMALL = {**CONDITIONAL, "epochs": DISCRETE["epochs"], "dropout": CONTINUOUS["dropout"]}
SEARCH = {"grid": DISCRETE, "gp": SMALL}
"""Of the algorithms that cannot have CONTINUOUS, or take long over it."""
OPENED = {
    "adapter.kind": "dora",
    "adapter.rank": 8,
    "hidden_layers": {"sst": 1, "quora": 2, "sts": 2},
    "epochs": 5,
    "learning_rate": 1e-4,
    "dropout": 0.25,
}


def space_of(algorithm: str, search: dict | None = None, *, trials: int | None = 16, seed: int = 0) -> SearchSpace:
    if search is None:
        search = SEARCH.get(algorithm, CONTINUOUS)
    return SearchSpace(
        name="suite", objectives=OBJECTIVES, search=search, algorithm=algorithm, trials=trials, seed=seed
    )


def searcher_of(algorithm: str, search: dict | None = None, **options) -> Searcher:
    if algorithm == "grid":
        options["trials"] = None
    return SEARCHERS[algorithm](space_of(algorithm, search, **options))


def num_asked(algorithm: str, count: int = 36) -> int:
    """A Gaussian process takes a second a suggestion, so it is asked for one after its random beginning."""
    return 8 if algorithm == "gp" else count


def losses_of(values: dict) -> np.ndarray:
    cost = {"none": 3.0, "lora": 1.0, "dora": 2.0}[values["adapter.kind"]] + values.get("epochs", 1)
    return np.array([-cost + 10 * values.get("dropout", 0.0), cost])


def end(searcher: Searcher, number: int, key: int, values: dict) -> None:
    """Let a trial end in one of all the ways there are."""
    match number % 7:
        case 0:
            searcher.tell(key, None)
        case 1:
            searcher.tell(key, np.array([np.nan, 1.0]))
        case 2:
            searcher.tell_intermediate(key, 1, losses_of(values) - 1)
            searcher.tell_stopped(key)
        case 3:
            searcher.tell(key, None, [0.4, math.inf][number % 2])
        case 4:
            searcher.tell(key, losses_of(values), 0.5)
        case _:
            searcher.tell_intermediate(key, 1, losses_of(values) - 1)
            searcher.tell(key, losses_of(values))


def run(searcher: Searcher, count: int, *, delay: int = 3) -> list[dict]:
    """Ask `count` times with `delay` results outstanding, the newest told first."""
    suggested, waiting = [], []
    for number in range(count):
        asked = searcher.ask()
        if asked is None:
            break
        suggested.append(asked[1])
        waiting.append((number, *asked))
        if len(waiting) > delay:
            end(searcher, *waiting.pop())
    for one in waiting:
        end(searcher, *one)
    return suggested


@pytest.mark.parametrize("algorithm", SEARCHERS)
class TestEverySearcher:
    def test_stays_inside_the_space_and_its_conditions(self, algorithm: str):
        space, count = space_of(algorithm), num_asked(algorithm)
        suggested = run(searcher_of(algorithm), count)
        assert len(suggested) == count
        for values in suggested:
            has_adapter = values["adapter.kind"] != "none"
            assert ("adapter.rank" in values) is has_adapter
            assert ("finetune" in values) is not has_adapter
            assert list(values) == [key for key in space.search if key in values]
            assert all(space.search[key].takes(value) for key, value in values.items())
            space.trial_config(values)

    def test_the_same_seed_gives_the_same_suggested(self, algorithm: str):
        # Of a grid the seed draws a part.
        first, second, other = (
            run(SEARCHERS[algorithm](space_of(algorithm, seed=seed)), count)
            for seed, count in ((1, num_asked(algorithm, 16)), (1, num_asked(algorithm, 16)), (2, 4))
        )
        assert first == second
        assert first[:4] != other

    def test_never_repeats_itself_and_ends_when_all_is_tried(self, algorithm: str):
        suggested = run(searcher_of(algorithm, CONDITIONAL), 20)
        assert len({config_key(values) for values in suggested}) == len(suggested) == NUM_CONDITIONAL

    def test_an_opened_config_is_not_suggested_again(self, algorithm: str):
        searcher = searcher_of(algorithm, CONDITIONAL)
        opened = [{"adapter.kind": "none", "finetune": "full"}, {"adapter.kind": "dora", "adapter.rank": 8}]
        searcher.tell(searcher.open(opened[0]), losses_of(opened[0]))
        suggested = run(searcher, 3)
        waiting = searcher.open(opened[1]) if opened[1] not in suggested else None
        suggested += run(searcher, 10)
        if waiting is not None:
            suggested.append(opened[1])
            searcher.tell_stopped(waiting)
        assert len(suggested) == NUM_CONDITIONAL - 1
        assert {config_key(values) for values in (opened[0], *suggested)} == {
            config_key(values) for values in space_of("grid", CONDITIONAL).grid()
        }

    def test_an_opened_config_is_told_of_like_any_other(self, algorithm: str):
        searcher = searcher_of(algorithm)
        values = {key: OPENED[key] for key in space_of(algorithm).search if key in OPENED}
        keys = [searcher.open(values)]
        run(searcher, 6)
        keys.append(searcher.open({**values, "epochs": 1}))
        other_key, other_values = searcher.ask()
        assert len({*keys, other_key}) == 3
        for number, key in enumerate((keys[1], keys[0])):
            searcher.tell_intermediate(key, 1, losses_of(values))
            end(searcher, number + 4, key, values)
            with pytest.raises(KeyError):
                searcher.tell_stopped(key)
        searcher.tell(other_key, losses_of(other_values))
        assert searcher.ask() is not None

    def test_survives_trials_that_all_fail(self, algorithm: str):
        searcher = searcher_of(algorithm)
        for failure in (None, np.array([np.nan, 1.0]), np.array([1.0, np.inf])) * 4:
            searcher.tell(searcher.ask()[0], failure)
        assert searcher.ask() is not None

    def test_survives_trials_that_all_break_a_constraint(self, algorithm: str):
        searcher = searcher_of(algorithm)
        for number in range(num_asked(algorithm, 30) - 2):
            key, values = searcher.ask()
            if number % 3 == 2 and number > 4:
                searcher.tell(key, losses_of(values), 0.25)
            else:
                searcher.tell(key, None, [math.inf, 0.5][number % 2])
        # The first that is feasible, and what then is suggested.
        key, values = searcher.ask()
        searcher.tell(key, losses_of(values))
        assert searcher.ask() is not None

    def test_refuses_a_result_that_nobody_waits_for(self, algorithm: str):
        searcher = searcher_of(algorithm)
        key, values = searcher.ask()
        searcher.tell(key, losses_of(values))
        for nobodys in (key, key + 1000):
            with pytest.raises(KeyError):
                searcher.tell(nobodys, losses_of(values))
            with pytest.raises(KeyError):
                searcher.tell(nobodys, None, 0.5)
            with pytest.raises(KeyError):
                searcher.tell_intermediate(nobodys, 1, losses_of(values))
            with pytest.raises(KeyError):
                searcher.tell_stopped(nobodys)

    def test_takes_results_of_every_epoch_and_early_ends(self, algorithm: str):
        searcher = searcher_of(algorithm)
        for number in range(num_asked(algorithm)):
            key, values = searcher.ask()
            for epoch in (1, 3):
                searcher.tell_intermediate(key, epoch, None if number % 7 == 0 else losses_of(values), number % 2 * 0.5)
            if number % 3:
                searcher.tell_stopped(key)
            else:
                searcher.tell(key, losses_of(values))
            with pytest.raises(KeyError):
                searcher.tell_intermediate(key, 4, losses_of(values))

    def test_progress_and_then_a_failure(self, algorithm: str):
        # What looked best after an epoch always fails: no algorithm may seek it out.
        searcher = searcher_of(algorithm)
        suggested = []
        for number in range(num_asked(algorithm, 36 if algorithm == "grid" else 60)):
            key, values = searcher.ask()
            fails = values["adapter.kind"] == "dora"
            searcher.tell_intermediate(key, 1, losses_of(values) - 50 * fails)
            if fails:
                searcher.tell(key, None if number % 2 else np.array([np.nan, 1.0]))
                with pytest.raises(KeyError):
                    searcher.tell_stopped(key)
            else:
                searcher.tell(key, losses_of(values))
            suggested.append(values)
        if algorithm not in ("grid", "gp"):  # In its own order; too few to tell.
            later = suggested[len(suggested) // 2 :]
            assert np.mean([values["adapter.kind"] == "dora" for values in later]) < 0.6

    def test_many_trials_may_run_at_once(self, algorithm: str):
        searcher = searcher_of(algorithm)
        run(searcher, num_asked(algorithm, 10) - 1)
        asked = [searcher.ask() for _ in range(num_asked(algorithm, 30) // 4)]
        assert len({key for key, _ in asked}) == len({config_key(values) for _, values in asked}) == len(asked)
        for number, (key, values) in enumerate(reversed(asked)):
            end(searcher, number, key, values)

    def test_goes_on_from_a_pickle_as_if_nothing_happened(self, algorithm: str):
        searcher = searcher_of(algorithm)
        run(searcher, 7)
        waiting = searcher.ask()
        copy = pickle.loads(pickle.dumps(searcher))
        for one in (searcher, copy):
            end(one, 5, *waiting)
        assert run(searcher, num_asked(algorithm) // 8) == run(copy, num_asked(algorithm) // 8)

    def test_takes_a_single_objective(self, algorithm: str):
        space = space_of(algorithm).model_copy(update={"objectives": SCORE})
        searcher = SEARCHERS[algorithm](space)
        for number in range(num_asked(algorithm, 12)):
            key, values = searcher.ask()
            searcher.tell(key, losses_of(values)[:1] if number % 4 else None, 0.0 if number % 3 else 0.5)

    def test_says_nothing_to_the_user(self, algorithm: str, capfd: pytest.CaptureFixture):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(searcher_of(algorithm), num_asked(algorithm))
        assert capfd.readouterr() == ("", "")
