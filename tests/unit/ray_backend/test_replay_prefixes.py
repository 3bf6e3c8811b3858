"""Any prefix of a journal, replayed, is the study that the sweep had, with the same next suggestion and decision."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter
from scripted_tune import ScriptedTune, space_of, started
from study_sessions import num_left

from mtbert_ray.events import EpochFinished, Event, ProbeFinished, TrialStarted
from mtbert_ray.study.search import SEARCHERS
from mtbert_ray.study.study import Study

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def read_back(events: list[Event]) -> list[Event]:
    return [_EVENT.validate_json(event.model_dump_json()) for event in events]


def live_sweep(folder: Path, algorithm: str, scheduler: str, seed: int) -> ScriptedTune:
    """Three sessions of the search: one killed, one interrupted, and a last one that may have more trials than planned.

    Then, with the seeds that have them, sessions of reruns, killed and interrupted too, and one with another trial.
    """
    rng = np.random.default_rng(seed)
    trials = {"grid": None, "gp": 5}.get(algorithm, 8)
    space = space_of(algorithm, scheduler, seed=seed, trials=trials, repeats=seed % 2)
    tune = ScriptedTune(Study(started(space)), folder, rng, workers=int(rng.integers(1, 4)))
    tune.session(steps=int(rng.integers(5, 25)))
    tune.resume(num_trials=space.num_trials, politely=False)
    tune.session(steps=int(rng.integers(5, 25)))
    more = None if space.num_trials is None else space.num_trials + int(rng.integers(0, 3))
    more = space.num_trials if algorithm == "grid" else more
    tune.resume(num_trials=more, politely=True)
    tune.session()
    if seed % 2:
        for place, asked in enumerate([{"remeasure": True}, {"repeats": 2}, {}, {"repeats": 3, "remeasure": True}]):
            more = more if place != 2 or more is None or algorithm == "grid" else more + 1
            tune.resume(num_trials=more, politely=bool(place % 2), **asked)
            tune.session(steps=int(rng.integers(1, 12)) if place < 3 else 10_000)
    return tune


def state_of(study: Study) -> dict:
    """All that decides anything later, but for what is inside of searchers and pruners: their answers show that."""
    return {
        "trials": list(study.trials),
        "reruns": list(study.sweep.reruns),
        "reruns that start again": set(study.reruns.waiting),
        "reruns planned": [one.trial_id for one in study.reruns.planned],
        "running": study.running,
        "decisions": {trial.trial_id: study.decision(trial.trial_id) for trial in study.sweep.all_trials},
        "left": num_left(study),
        "queue": dict(study._queue),
    }


@pytest.mark.parametrize("scheduler", ["fifo", "pareto"])
@pytest.mark.parametrize("algorithm", sorted(SEARCHERS))
@pytest.mark.parametrize("seed", range(3))
def test_every_prefix_gives_the_study_the_suggestion_and_the_decision(tmp_path, algorithm, scheduler, seed):
    if algorithm == "gp" and (seed > 0 or scheduler == "fifo"):
        pytest.skip("half a second a suggestion: one run of it")
    tune = live_sweep(tmp_path, algorithm, scheduler, seed)
    events = read_back(tune.events)
    # Fed one by one, the study stands after each event where a replay of that prefix would end.
    study = Study(events[0])
    for place, event in enumerate(events[1:], start=1):
        decision = study.add(event)
        assert study._in_step, f"the searcher suggests something else than {event}"
        if isinstance(event, ProbeFinished | EpochFinished):
            assert decision == tune.decisions[place]
    assert state_of(study) == state_of(tune.study)
    if seed % 2:
        purposes = [trial.purpose for trial in study.sweep.reruns]
        assert purposes.count("repeat") > 2 and "remeasure" in purposes
    starts = [place for place, event in enumerate(events) if isinstance(event, TrialStarted)]
    of_reruns = [place for place in starts if events[place].purpose != "search"]
    for place in {*starts[:: max(1, len(starts) // 3)], *of_reruns[:: max(1, len(of_reruns) // 4)]}:
        asked, event = Study.replay(events[:place]).ask(), events[place]
        assert asked is not None
        assert asked.model_copy(update={"time": event.time}) == event


@pytest.mark.parametrize("algorithm", ["random", "grid", "front"])
def test_a_kill_changes_nothing_that_one_worker_tries(tmp_path, algorithm):
    """Interrupted trials run again first, so that the searcher is asked in the order of the undisturbed sweep."""
    tried = []
    for kills in (0, 3):
        rng = np.random.default_rng(5)
        space = space_of(algorithm, "pareto", trials=None if algorithm == "grid" else 8)
        tune = ScriptedTune(Study(started(space)), tmp_path / str(kills), rng, workers=1)

        def curve(number):
            rng_of_trial = np.random.default_rng(number)
            seconds = float(rng_of_trial.choice([2.0, 5.0, 8.0]))
            scores = np.maximum.accumulate(rng_of_trial.integers(0, 10, 4)) / 10
            return [
                {"epoch": n, "step": n, "sst": s, "dev_score": s, "train_seconds": n * seconds}
                for n, s in enumerate(scores.tolist(), start=1)
            ]

        for kill in range(kills):
            tune.session(_Curves(tune, curve), incidents=False, steps=3 + 2 * kill)
            tune.resume(num_trials=space.num_trials, politely=kill % 2 == 0)
        tune.session(_Curves(tune, curve), incidents=False)
        tried.append(
            {trial.trial_id: (trial.hyperparameters, trial.status, trial.reason) for trial in tune.study.trials}
        )
    assert tried[0] == tried[1]


class _Curves:
    """Gives each trial its own curve, whichever attempt it is."""

    def __init__(self, tune: ScriptedTune, curve) -> None:
        self.tune, self.curve = tune, curve

    def __iter__(self):
        return self

    def __next__(self):
        last = [event for event in self.tune.events if isinstance(event, TrialStarted)][-1]
        return self.curve(int(last.trial_id[1:]))


def test_a_journal_whose_asks_cannot_be_repeated_is_taken_as_it_is(tmp_path):
    """As of another version: its trials stand, and nothing that it has tried is suggested again."""
    tune = live_sweep(tmp_path, "front", "pareto", 1)
    events = [
        event.model_copy(update={"hyperparameters": {**event.hyperparameters, "learning_rate": 1e-3 / (2 + place)}})
        if isinstance(event, TrialStarted)
        else event
        for place, event in enumerate(read_back(tune.events))
    ]
    study = Study.replay(events)
    assert list(study.trials) == list(Study.replay(events).trials)
    tried = {trial.hyperparameters["learning_rate"] for trial in study.trials}
    study.sweep.resumed[-1] = study.sweep.resumed[-1].model_copy(update={"num_trials": len(study.trials) + 3})
    suggested = [study.ask() for _ in range(3)]
    assert not tried & {event.hyperparameters["learning_rate"] for event in suggested}
    assert [event.trial_id for event in suggested] == [f"t{len(tried) + n:03d}" for n in range(3)]
