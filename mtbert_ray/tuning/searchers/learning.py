"""Tells a searcher what the trials of an earlier sweep have taught, from its journal.

For a sweep that builds on others, and for one that goes on after it was killed. Knows nothing of Ray.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mtbert_ray.metrics import Metrics
from mtbert_ray.objective import Objectives
from mtbert_ray.pareto.objectives import to_losses
from mtbert_ray.records import SweepRecord, TrialRecord, outlook
from mtbert_ray.tuning.searchers.base import Searcher
from mtbert_ray.tuning.searchers.fitting import DoesNotFit, differences, setting_of
from mtbert_ray.tuning.searchers.telling import Telling
from mtbert_ray.tuning.space.model import SearchSpace


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What became of an earlier sweep's trials."""

    num_trials: int
    """That the searcher was told of."""
    num_left_out: int
    reasons: Mapping[str, int]
    """Why trials were left out -> how many."""
    differences: tuple[str, ...]
    """What neither sweep searches, and they have set differently: their results may not be comparable."""

    def notes(self, name: str) -> list[str]:
        """Return what the reader of a report should know of it, in a line or two.

        Args:
            name: the earlier sweep's.
        """
        total = self.num_trials + self.num_left_out
        counted = [f"{reason} ({count})" for reason, count in self.reasons.items()]
        left_out = f"; left out: {', '.join(counted)}" if counted else ""
        notes = [f"The algorithm began with {self.num_trials} of {total} trials of {name}{left_out}."]
        if self.differences:
            notes.append(f"In {name}, {'; '.join(self.differences)}: its results may not be comparable.")
        return notes


def learn_from_sweep(searcher: Searcher, space: SearchSpace, record: SweepRecord, objectives: Objectives) -> Learnt:
    """Tell a searcher of an earlier sweep's trials, all that fit, as if it had asked for them.

    Trials that still run there count as stopped. Full runs are told first, so that what stopped ones would have
    reached can be told from them.

    Args:
        searcher: of this space.
        space: what is searched now; the earlier sweep may have searched other keys.
        record: the earlier sweep.
        objectives: of this sweep, as resolved for this cluster.
    """
    opened: list[tuple[int, TrialRecord]] = []
    reasons: Counter[str] = Counter()
    different: dict[str, None] = {}
    for trial in record.trials:
        try:
            values = setting_of(trial, space)
            _check_has_results(trial, objectives, record.started.objectives)
        except DoesNotFit as reason:
            reasons[str(reason)] += 1
            continue
        opened.append((searcher.open(values), trial))
        different |= dict.fromkeys(differences(trial, space, values))
    telling = Telling(space, objectives)
    for key, trial in opened:
        for done in range(1, len(trial.epochs) + 1):
            telling.epoch(searcher, key, done, _outlook_after(trial, done))
    for key, trial in sorted(opened, key=lambda one: one[1].status != "finished"):
        _tell_end(telling, searcher, key, trial)
    return Learnt(
        num_trials=len(opened),
        num_left_out=reasons.total(),
        reasons=dict(reasons),
        differences=tuple(different),
    )


def _check_has_results(trial: TrialRecord, objectives: Objectives, earlier: Objectives) -> None:
    """Refuse a trial that has all that was asked of it then, but not what is asked now: it did not fail."""
    if trial.status != "finished" or to_losses(trial.metrics, earlier) is None:
        return
    for name, objective in objectives.items():
        if to_losses(trial.metrics, {name: objective}) is None:
            raise DoesNotFit(f"no {name} was measured")


def _tell_end(telling: Telling, searcher: Searcher, key: int, trial: TrialRecord) -> None:
    if trial.status == "failed":
        telling.failed(searcher, key)
    elif trial.status == "finished":
        telling.finished(searcher, key, trial.metrics)
    else:
        telling.stopped(searcher, key, len(trial.epochs), _last_outlook(trial), trial.stop_kind or "sweep")


def _last_outlook(trial: TrialRecord) -> Metrics:
    """Return what a trial would come to as it last told; its probe tells of costs only."""
    if trial.epochs:
        return _outlook_after(trial, len(trial.epochs))
    return {} if trial.probe is None else trial.probe.outlook


def _outlook_after(trial: TrialRecord, num_done: int) -> Metrics:
    return outlook(trial.epochs[:num_done], trial.tasks, num_epochs=int(trial.config["epochs"]))
