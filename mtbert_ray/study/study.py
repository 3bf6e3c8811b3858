"""The study: all that a sweep knows and decides, fed with its events and nothing else.

A live sweep, a resumed one and a replayed journal are the same `Study`: any prefix of a journal gives the state that a
sweep had then, and the next suggestion and decision. Backends run the trials: `ray_backend/`, `simulation/`.

Some 320 lines, not split: all that changes a study's state is read here, in one class.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtbert_ray.events import (
    EpochFinished,
    Event,
    ProbeFinished,
    SweepResumed,
    SweepStarted,
    TrialFinished,
    TrialResumed,
    TrialStarted,
)
from mtbert_ray.metrics import Objectives, known_metrics
from mtbert_ray.study.feedback import Feedback
from mtbert_ray.study.pruning.axes import Axes
from mtbert_ray.study.pruning.decision import Decision, Pruner
from mtbert_ray.study.pruning.pareto_pruner import ParetoPruner
from mtbert_ray.study.reruns import Reruns, remeasured
from mtbert_ray.study.retries import Retries, must_wait
from mtbert_ray.study.search import SEARCHERS, Searcher
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.model import config_key
from mtbert_ray.study.warm_start import EarlierSweep, points_to_evaluate, teach, trials_possible
from mtbert_ray.trial import Sweep, Trial

Observer = Callable[[Event, Trial | None], None]
"""Hears of each event once it has been applied, with the trial that it is about."""


@dataclass(frozen=True, kw_only=True)
class _Suggestion:
    trial_id: str
    key: int
    """The searcher's."""
    values: Mapping[str, Any]


class Study:
    """Asks the searcher and the pruner, and keeps the trials.

    Args:
        started: the first event, which has the search space and the objectives as resolved for the cluster.
        earlier: the sweeps of the space's `warm_start_from`.
        space: none takes that of the event.
        searcher: makes one of a space; none takes the space's `algorithm`.
        pruner: makes one of a space and its objectives; none takes the space's `scheduler`.
        config_of: makes a trial's config of its searched values; none takes the space's.
        observers: see `Observer`; they hear of what comes after `started`.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        started: SweepStarted,
        *,
        earlier: Sequence[EarlierSweep] = (),
        space: SearchSpace | None = None,
        searcher: Callable[[SearchSpace], Searcher] | None = None,
        pruner: Callable[[SearchSpace, Objectives], Pruner | None] | None = None,
        config_of: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
        observers: Iterable[Observer] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.space = space = SearchSpace.model_validate(started.space) if space is None else space
        self.objectives = started.objectives
        self.sweep = Sweep(started=started)
        self.observers = list(observers)
        self._earlier = tuple(earlier)
        self._clock = clock
        self._make_searcher = SEARCHERS[space.algorithm] if searcher is None else searcher
        self._config_of = config_of or (lambda values: space.trial_config(values).model_dump(mode="json"))
        self._pruner = (make_pruner if pruner is None else pruner)(space, self.objectives)
        self._keys: dict[str, int] = {}
        """Trial -> the searcher's key of it, while the searcher waits for its end."""
        self._queue: dict[str, Mapping[str, Any]] = {}
        """Trial -> its values, of those that run before the searcher is asked: interrupted trials again, then
        `points_to_evaluate`."""
        self.retries = Retries(space.retries)
        self.reruns = Reruns(self.sweep)
        self._in_step = True
        """Whether the searcher has suggested what the trials started with, and so needs no rebuilding."""
        self._new_searcher(seed=space.seed, num_trials=space.trials)
        for number, values in enumerate(points_to_evaluate(space)):
            self._queue[trial_name(number)] = values
            self._keys[trial_name(number)] = self._searcher.open(values)

    @classmethod
    def replay(cls, events: Sequence[Event], *, earlier: Sequence[EarlierSweep] = ()) -> "Study":
        """Return the study of a journal, or of any prefix of one."""
        started, *later = events
        assert isinstance(started, SweepStarted), "read_events checks that"
        study = cls(started, earlier=earlier)
        for event in later:
            study.add(event)
        return study

    @property
    def trials(self) -> Sequence[Trial]:
        """Those of the search, in the order in which they started."""
        return self.sweep.trials

    @property
    def running(self) -> list[Trial]:
        """Trials and reruns that run; not those that ran when an earlier session was killed and wait to start again."""
        waiting = {*self._queue, *self.reruns.waiting}
        return [one for one in self.sweep.all_trials if one.status == "running" and one.trial_id not in waiting]

    @property
    def num_trials(self) -> int | None:
        """Trials that the sweep comes to, none if time alone decides: as planned, or what earlier sweeps have left."""
        return trials_possible(self.sweep.num_trials, self.space, self.trials, self._earlier)

    def decision(self, trial_id: str) -> Decision | None:
        """Return why a trial must end: what the pruner says, or that its costs are known; None where it continues."""
        trial = self.sweep.trial(trial_id)
        if trial is not None and trial.is_rerun:
            return remeasured(trial) if trial.purpose == "remeasure" else None
        return None if self._pruner is None else self._pruner.decisions.get(trial_id)

    def ask(self) -> TrialStarted | None:
        """Start the next trial and return its event; None when there is none left to start, or none for now.

        Reruns come once every trial of the search has ended.
        """
        if not self._in_step:
            self._rebuild_searcher()
        following = self.sweep.trial(next(iter(self._queue), ""))
        alone = following is not None and following.runs_alone
        if self.retries.gives_up or must_wait(self.running, alone=alone):
            return None
        suggestion = self._suggest()
        if suggestion is None:
            rerun = self.reruns.ask(time=self._clock(), running=self.running)
            if rerun is not None:
                self._start_rerun(rerun)
            return rerun
        event = TrialStarted(
            time=self._clock(),
            trial_id=suggestion.trial_id,
            hyperparameters=dict(suggestion.values),
            config=self._config_of(suggestion.values),
            attempt=1 if (trial := self.sweep.trial(suggestion.trial_id)) is None else trial.attempts + 1,
        )
        self._start(event, suggestion)
        return event

    def add(self, event: Event) -> Decision | None:
        """Take in an event; return why its trial must end now, or None where it continues or has ended.

        Raises:
            JournalError: it cannot come here, as one of a trial that has not started.
        """
        if isinstance(event, TrialStarted):
            if event.purpose == "search":
                self._start(event, self._repeat_ask(event))
            else:
                self._start_rerun(event)
            return None
        if isinstance(event, TrialResumed):
            self._forget_if_over(event)
        self.sweep.apply(event)
        trial = self.sweep.trial(event.trial_id) if hasattr(event, "trial_id") else None
        if trial is not None and not trial.is_rerun and trial.status != "running":
            self.reruns.front_may_change()
        self._notify(event, trial)
        starts_again = self.retries.add(event, self.sweep.all_trials)
        if isinstance(event, SweepResumed):
            self._resume()
        if trial is None or isinstance(event, TrialResumed):
            return None
        if trial.is_rerun:
            if starts_again:
                self.reruns.start_again(trial.trial_id)
            return self.decision(trial.trial_id) if isinstance(event, EpochFinished) else None
        self._give_feedback(event, trial)
        if starts_again:  # Before all others.
            self._queue = {trial.trial_id: trial.hyperparameters} | self._queue
        return self._prune(event, trial)

    def _forget_if_over(self, event: TrialResumed) -> None:
        """Drop what a trial that starts over had reported."""
        trial = self.sweep.trial(event.trial_id)
        if trial is not None and not trial.is_rerun and trial.starts_over(event) and self._pruner is not None:
            self._pruner.forget(event.trial_id)

    def _start(self, event: TrialStarted, suggestion: _Suggestion | None) -> None:
        if event.attempt == 1 and self._pruner is not None and self.sweep.trial(event.trial_id) is not None:
            self._pruner.forget(event.trial_id)  # Of a journal of an earlier version, where it started over.
        self.sweep.apply(event)
        self.reruns.front_may_change()
        started = config_key(event.hyperparameters)
        self._queue = {
            name: values
            for name, values in self._queue.items()
            if name != event.trial_id and config_key(values) != started
        }
        if suggestion is not None:
            self._keys[event.trial_id] = suggestion.key
        self._notify(event, self.sweep.trial(event.trial_id))

    def _start_rerun(self, event: TrialStarted) -> None:
        self.sweep.apply(event)
        self.reruns.start(event.trial_id)
        self._notify(event, self.sweep.trial(event.trial_id))

    def _notify(self, event: Event, trial: Trial | None) -> None:
        for observer in self.observers:
            observer(event, trial)

    def _suggest(self) -> _Suggestion | None:
        for trial_id, values in self._queue.items():
            return _Suggestion(trial_id=trial_id, key=self._keys[trial_id], values=values)
        limit = self.num_trials
        if limit is not None and len(self.trials) >= limit:
            return None
        asked = self._searcher.ask()
        if asked is None:
            return None
        name = trial_name(next_number(trial.trial_id for trial in self.trials))
        return _Suggestion(trial_id=name, key=asked[0], values=asked[1])

    def _repeat_ask(self, event: TrialStarted) -> _Suggestion | None:
        """Ask again for a trial that a journal starts, so that the searcher's state is what it was then.

        In a journal of another version the searcher may have suggested something else. Then it is given up, and rebuilt
        from the trials before it is asked for anything new.
        """
        suggestion = self._suggest() if self._in_step else None
        if suggestion is not None and (suggestion.trial_id, config_key(suggestion.values)) == (
            event.trial_id,
            config_key(event.hyperparameters),
        ):
            return suggestion
        self._in_step = False
        self._keys.clear()
        return None

    def _resume(self) -> None:
        """Let interrupted trials run again, before all others."""
        again = [trial for trial in self.trials if trial.is_interrupted]
        earlier_session = [self.sweep.started.num_trials, *(one.num_trials for one in self.sweep.resumed)][-2]
        self.reruns.resume()
        if not self._in_step or self.sweep.num_trials != earlier_session:
            self._rebuild_searcher()
        self._queue = {trial.trial_id: trial.hyperparameters for trial in again} | self._queue

    def _rebuild_searcher(self) -> None:
        """Make the searcher anew from the trials, with other draws than those that it has made for them."""
        drawn = 0 if self.space.algorithm == "grid" else len(self.trials)
        self._new_searcher(seed=(self.space.seed + drawn) % 2**32, num_trials=self.sweep.num_trials)
        ended = [trial for trial in self.trials if not trial.is_interrupted]
        teach(self._searcher, self._feedback, [(trial.hyperparameters, trial) for trial in ended])
        running = {trial.trial_id: trial.hyperparameters for trial in self.trials if trial.is_interrupted}
        self._keys = {trial_id: self._searcher.open(values) for trial_id, values in (running | self._queue).items()}
        self._in_step = True

    def _new_searcher(self, *, seed: int, num_trials: int | None) -> None:
        space = self.space.model_copy(update={"seed": seed, "trials": num_trials})
        self._searcher = self._make_searcher(space)
        self._feedback = Feedback(self._searcher, space, self.objectives)
        for sweep in self._earlier:
            teach(self._searcher, self._feedback, sweep.trials)

    def _give_feedback(self, event: Event, trial: Trial) -> None:
        """Tell the searcher, but not of what ended a trial from outside: it will run again."""
        key = self._keys.get(trial.trial_id)
        if key is None:
            return
        if isinstance(event, EpochFinished):
            self._feedback.epoch(key, trial, len(trial.epochs) - 1)
        elif not trial.is_interrupted:
            self._feedback.end(self._keys.pop(trial.trial_id), trial)

    def _prune(self, event: Event, trial: Trial) -> Decision | None:
        if self._pruner is None:
            return None
        done = trial.num_done
        if self.decision(trial.trial_id) is not None and isinstance(event, EpochFinished | TrialFinished):
            self._pruner.overrule(trial.trial_id)  # A journal of another rule: there the trial continued.
        if isinstance(event, ProbeFinished | EpochFinished):
            # The last epoch is the trial's result, which comes with its end.
            at_end = done >= trial.num_epochs
            return None if at_end else self._pruner.prune(trial.trial_id, done, trial.projection)
        if trial.is_interrupted:
            return None  # It will continue from where it was.
        if trial.status == "failed":
            self._pruner.forget(trial.trial_id)
        else:
            self._pruner.end(trial.trial_id, done, trial.projection, finished=trial.status == "finished")
        return None


def make_pruner(space: SearchSpace, objectives: Objectives) -> ParetoPruner | None:
    """Return the pruner that a search space asks for; none for `fifo`."""
    if space.scheduler == "fifo":
        return None
    return ParetoPruner(
        Axes.of(objectives, {}),
        space.max_epochs,
        halving=space.halving_in_use,
        metrics=known_metrics(space.tasks),
        margin=space.probe.margin,
    )


def trial_name(number: int) -> str:
    """Return the id of the trial with this number."""
    return f"t{number:03d}"


def next_number(trial_ids: Iterable[str]) -> int:
    """Return the number behind all those in ids of `trial_name`, which may leave gaps."""
    numbers = [int(name[1:]) for name in trial_ids if name[:1] == "t" and name[1:].isdecimal()]
    return max(numbers, default=-1) + 1
