"""What Ray Tune sees of a searcher, by the calls that Ray Tune makes."""

import math
from pathlib import Path

import pytest
from mtbert_ray.ray_backend.for_ray import FirstTrial, SpaceSearcher

from mtbert_ray.config import TrialConfig
from mtbert_ray.metrics import Objective
from mtbert_ray.study.pruning.decision import Decision
from mtbert_ray.study.search import SEARCHERS
from mtbert_ray.study.space.load import SearchSpace
from mtbert_ray.study.space.parameters import Choice, FloatRange

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=100.0, constraint=50.0),
}


class RecordingSearcher:
    """Suggests 1, 2, 3, ... epochs and keeps what it is told."""

    def __init__(self, epochs: int | None = None) -> None:
        self.told: list[tuple] = []
        self.asked = 0
        self.epochs = epochs

    def ask(self):
        self.asked += 1
        return self.asked, {"epochs": self.epochs or self.asked}

    def tell(self, key, losses, violation=0.0):
        self.told.append((key, None if losses is None else losses.tolist(), violation))

    def tell_intermediate(self, key, resource, losses, violation=0.0):
        self.told.append((key, resource, None if losses is None else losses.tolist(), violation))

    @property
    def ends(self) -> list[tuple]:
        """What was told of ends: all but progress."""
        return [told for told in self.told if told[1] == "stopped" or len(told) == 3]

    def tell_stopped(self, key):
        self.told.append((key, "stopped"))


def reported(epoch: int = 1, **metrics) -> dict:
    """What Ray hands a searcher of a trial's report: flat."""
    return {"epoch": epoch, **{f"projection/{name}": value for name, value in metrics.items()}}


def searching(epochs: int, *names: str) -> tuple[SpaceSearcher, RecordingSearcher]:
    """A searcher with a trial of so many epochs for each name of Ray's."""
    searcher = RecordingSearcher(epochs)
    adapter = SpaceSearcher(space_of(None), searcher, OBJECTIVES)
    for name in names:
        adapter.suggest(name)
    return adapter, searcher


def space_of(trials: int | None, algorithm: str = "random", **search) -> SearchSpace:
    return SearchSpace(
        name="suite",
        objectives=OBJECTIVES,
        search=search or {"dropout": FloatRange(kind="uniform", low=0.0, high=0.9)},
        algorithm=algorithm,
        trials=trials,
        time_budget_minutes=1,
    )


def test_suggests_as_many_as_planned_and_then_finishes():
    adapter = SpaceSearcher(space_of(2), RecordingSearcher(), OBJECTIVES)
    first, second, *rest = [adapter.suggest(name) for name in "abcd"]
    assert (first["trial_id"], first["values"]) == ("t000", {"epochs": 1})
    assert (second["trial_id"], second["values"]) == ("t001", {"epochs": 2})
    assert TrialConfig.model_validate(second["trial"]).epochs == 2
    assert rest == ["FINISHED", "FINISHED"]


def test_finishes_when_every_setting_is_tried():
    space = space_of(None, epochs=Choice(values=(1, 2)))
    adapter = SpaceSearcher(space, SEARCHERS["random"](space), OBJECTIVES)
    suggested = [adapter.suggest(name) for name in "abc"]
    assert sorted(one["values"]["epochs"] for one in suggested[:2]) == [1, 2]
    assert suggested[2] == "FINISHED"


def test_results_become_losses_and_all_else_a_failure():
    adapter, searcher = searching(1, *"abcdef")
    adapter.on_trial_complete("b", {**reported(dev_score=0.5, train_seconds=40.0), "done": True})
    adapter.on_trial_complete("a", reported(dev_score=0.7, train_seconds=75.0))
    adapter.on_trial_complete("c", reported(dev_score=0.7, train_seconds=30.0), error=True)
    adapter.on_trial_complete("d", None, error=True)
    adapter.on_trial_complete("e", reported(dev_score=None, train_seconds=30.0))
    adapter.on_trial_complete("f", reported(train_seconds=30.0))
    assert searcher.ends == [
        (2, [-0.5, 40.0], 0.0),
        (1, [-0.7, 75.0], 0.5),
        (3, None, 0.0),
        (4, None, 0.0),
        (5, None, 0.0),
        (6, None, 0.0),
    ]


def test_what_a_stopped_trial_reached_is_told_as_progress_and_never_as_a_result():
    adapter, searcher = searching(3, "a")
    adapter.on_trial_result("a", reported(1, dev_score=0.6, train_seconds=30.0))
    # Ray tells of the epoch at which a trial is stopped with its end only.
    adapter.on_trial_complete("a", reported(2, dev_score=0.7, train_seconds=40.0))
    assert searcher.told == [(1, 1, [-0.6, 30.0], 0.0), (1, 2, [-0.7, 40.0], 0.0), (1, "stopped")]


def test_one_that_broke_a_constraint_is_told_as_infeasible():
    adapter, searcher = searching(3, "a")
    adapter.on_trial_complete("a", reported(2, dev_score=0.7, train_seconds=75.0))
    assert searcher.told == [(1, 2, [-0.7, 75.0], 0.5), (1, None, 0.5)]


def test_a_trial_stopped_at_its_probe_is_told_by_how_much_it_was_too_expensive():
    adapter, searcher = searching(3, "a", "b", "c")
    adapter.on_trial_result("a", reported(0, train_seconds=10.0))
    adapter.on_trial_complete("a", reported(0, train_seconds=75.0))
    adapter.on_trial_complete("b", reported(0, train_seconds=10.0))  # Stopped for another reason.
    adapter.on_trial_complete("c", {})  # Ended with the sweep before it said anything.
    assert searcher.told == [(1, None, 0.5), (2, "stopped"), (3, "stopped")]


class TestAScoreBelowItsConstraint:
    OBJECTIVES = {  # noqa: RUF012
        "dev_score": Objective(direction="maximize", reference=0.0, constraint=0.8),
        "train_seconds": Objective(direction="minimize", reference=100.0, constraint=50.0),
    }

    def ended(self, *, seconds: float, decisions: dict | None) -> tuple:
        """What is told of the end of a trial that stopped after two of three epochs."""
        searcher = RecordingSearcher(3)
        adapter = SpaceSearcher(space_of(None), searcher, self.OBJECTIVES, decisions=decisions)
        adapter.suggest("a")
        adapter.on_trial_complete("a", reported(2, dev_score=0.4, train_seconds=seconds))
        (told,) = searcher.ends
        return told

    @pytest.mark.parametrize("known", [True, False])
    def test_one_that_was_stopped_may_still_have_reached_it(self, known: bool):
        decision = Decision(trial="t000", reason="behind", resource=2)
        assert self.ended(seconds=40.0, decisions={"t000": decision} if known else None) == (1, "stopped")

    @pytest.mark.parametrize("known", [True, False])
    def test_of_one_that_costs_too_much_only_the_cost_counts(self, known: bool):
        decision = Decision(trial="t000", reason="constraint", resource=2)
        assert self.ended(seconds=75.0, decisions={"t000": decision} if known else None) == (1, None, 0.5)

    def test_one_that_ended_with_the_sweep_is_no_infeasible_one(self):
        assert self.ended(seconds=75.0, decisions={}) == (1, "stopped")


def test_one_that_others_outdo_at_its_probe_breaks_no_constraint():
    # Beyond the limit, but by less than a projection may be off: what ended it was that others are cheaper.
    dominated_on_cost = Decision(trial="t000", reason="dominated_on_cost", resource=0, at_probe=True, violation=0.04)
    searcher = RecordingSearcher(3)
    adapter = SpaceSearcher(space_of(None), searcher, OBJECTIVES, decisions={"t000": dominated_on_cost})
    adapter.suggest("a")
    adapter.on_trial_complete("a", reported(0, train_seconds=52.0))
    assert searcher.told == [(1, "stopped")]


def test_out_of_memory_is_infeasible_by_an_unknown_amount():
    adapter, searcher = searching(3, "a")
    adapter.on_trial_result("a", reported(1, dev_score=0.6, train_seconds=30.0))
    adapter.on_trial_complete("a", {"epoch": 1, "out_of_memory": "asked for 9 GiB"})
    assert searcher.told[-1] == (1, None, math.inf)


def test_first_trials_come_first_and_new_ones_are_numbered_after_all_that_are_known():
    searcher = RecordingSearcher()
    again = FirstTrial(trial_id="t001", key=41, values={"epochs": 7})
    adapter = SpaceSearcher(space_of(5), searcher, OBJECTIVES, first=[again], num_known=4)
    suggested = [adapter.suggest(name) for name in "abc"]
    assert [(one["trial_id"], one["values"]) for one in suggested[:2]] == [
        ("t001", {"epochs": 7}),
        ("t004", {"epochs": 1}),
    ]
    assert suggested[2] == "FINISHED"
    adapter.on_trial_complete("a", reported(7, dev_score=0.5, train_seconds=1.0))
    assert searcher.told == [(41, 7, [-0.5, 1.0], 0.0), (41, [-0.5, 1.0], 0.0)]


def test_trials_are_probed_only_where_the_scheduler_listens():
    space = space_of(1)
    probed = SpaceSearcher(space, RecordingSearcher(), OBJECTIVES).suggest("a")
    assert probed["probe"] == {"steps": 30, "warmup_steps": 5, "margin": 0.1}
    to_the_end = space.model_copy(update={"scheduler": "fifo"})
    assert SpaceSearcher(to_the_end, RecordingSearcher(), OBJECTIVES).suggest("a")["probe"] is None


def test_a_second_end_and_an_unknown_trial_are_ignored():
    searcher = RecordingSearcher()
    adapter = SpaceSearcher(space_of(None), searcher, OBJECTIVES)
    adapter.suggest("a")
    adapter.on_trial_complete("a", None, error=True)
    adapter.on_trial_complete("a", None, error=True)
    adapter.on_trial_complete("of another sweep", None)
    assert len(searcher.told) == 1


def test_metric_and_mode_stay_unset():
    adapter = SpaceSearcher(space_of(1), RecordingSearcher(), OBJECTIVES)
    assert (adapter.metric, adapter.mode) == (None, None)


def test_save_and_restore_go_on_with_the_same_trials(tmp_path: Path):
    space = space_of(20, "tpe")
    adapter = SpaceSearcher(space, SEARCHERS["tpe"](space), OBJECTIVES)

    def go(one: SpaceSearcher, names: list[str]) -> list:
        suggested = []
        for name in names:
            suggested.append(one.suggest(name))
            one.on_trial_complete(
                name, reported(10, dev_score=len(suggested) / 20, train_seconds=10.0 * len(suggested))
            )
        return suggested

    go(adapter, [f"first-{number}" for number in range(12)])
    adapter.suggest("running")
    adapter.save_to_dir(str(tmp_path))
    restored = SpaceSearcher(space, SEARCHERS["tpe"](space), OBJECTIVES)
    restored.restore_from_dir(str(tmp_path))
    later = [f"later-{number}" for number in range(9)]
    for one in (adapter, restored):
        one.on_trial_complete("running", reported(10, dev_score=0.9, train_seconds=20.0))
    results = go(adapter, later)
    assert results == go(restored, later)
    assert results[-2:] == ["FINISHED", "FINISHED"]
