"""How sure a sweep's results are: errors, intervals, the chance of being on the front, what is as good as what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from mtbert_ray.errors import UserError
from mtbert_ray.pareto.front import front_mask
from mtbert_ray.pareto.objectives import loss_of
from mtbert_ray.pareto.short_list import as_good_as
from mtbert_ray.reporting.beyond_noise import Comparison, compare, critical_value, may_be_on_front
from mtbert_ray.reporting.noise import (
    EXACT,
    METER_SHARE,
    NOT_KNOWN,
    Noise,
    RunsOfTrial,
    noise_of_costs,
    noise_of_score,
)
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.wording import counted, joined, plain_name
from mtbert_ray.scoring.bootstrap import ResampledScore, bootstrap_scores
from mtbert_ray.scoring.dev_predictions import TaskPredictions, read_dev_predictions
from mtbert_ray.task_metrics import task_metric
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.trial import Sweep, Trial, is_score

# B draws, N compared trials, M objectives

Floats = NDArray[np.float64]
Predictions = Mapping[str, TaskPredictions]
"""Task -> a run's dev predictions."""

_SAME_SCORE = 2e-3
"""Scores of predictions as they are kept may differ by so much from those that were reported: half precision."""
_MAX_NAMED = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Uncertainty:
    """Of the N compared trials of an outcome, in its M objectives, by B draws."""

    draws: Floats
    """(B, N, M) losses as they might have been: dev rows resampled together for all trials, seeds and costs where
    repeats or remeasurements tell their spread."""
    estimates: Floats
    """(N, M) in the metric's unit: the trial's own value, of repeated trials the mean over seeds, of remeasured ones
    the costs alone."""
    standard_errors: Floats
    """(N, M) in the metric's unit, 0 where it is exact, NaN where nothing tells it."""
    intervals: Floats
    """(N, M, 2) 95% of each value by itself, in the metric's unit; NaN where nothing tells it."""
    sources: tuple[str, ...]
    """(M,) what the noise of each objective is from, as "dev rows and 3 seeds", "exact" or "not known"."""
    front_probability: Floats
    """(N,) share of the draws in which a trial is feasible and no other dominates it."""
    may_be_on_front: NDArray[np.bool_]
    """(N,) that no trial is better beyond noise: in 95% of sweeps the true front is among them."""
    tolerance: Floats
    """(M,) in the metric's unit: of the YAML, or else a standard error of a difference between members of the front."""
    as_good_as: dict[str, str]
    """Member of the front -> another one, of the short list, than which it is no better beyond tolerance in any
    objective."""
    notes: tuple[str, ...]
    """What the reader must know to take these numbers for what they are."""
    critical: float
    """How many of its yardsticks a difference is beyond noise, whichever two trials are compared."""
    noises: tuple[Noise, ...]
    """(M,) one an objective."""


def uncertainty_of(outcome: Outcome, folder: Path | None, *, num_draws: int = 1000, seed: int = 0) -> Uncertainty:
    """Return how sure an outcome is.

    Args:
        outcome: of the sweep.
        folder: the sweep's, with the trials' dev predictions; none to do without.
        num_draws: B.
        seed: of the draws.
    """
    trials = [_runs_of(trial, outcome.sweep) for trial in outcome.compared]
    found = {} if folder is None else _read(folder, trials)
    return uncertainty_given(outcome, trials, found, num_draws=num_draws, seed=seed)


def _runs_of(trial: Trial, sweep: Sweep) -> RunsOfTrial:
    alone = sweep.remeasurement_of(trial.trial_id)
    return RunsOfTrial(
        trial=trial,
        repeats=tuple(sweep.repeats_of(trial.trial_id)),
        alone={} if alone is None else alone.projection,
    )


def _read(folder: Path, trials: Sequence[RunsOfTrial]) -> dict[str, Predictions]:
    """Return run -> its dev predictions of the epoch that counts; runs without, or with damaged ones, are left out."""
    found: dict[str, Predictions] = {}
    for run in _all_runs(trials):
        try:
            epoch, predictions = read_dev_predictions(folder / "trials" / run.trial_id)
        except UserError:
            continue
        if epoch == run.metrics.get("best_epoch"):
            found[run.trial_id] = predictions
    return found


def _all_runs(trials: Sequence[RunsOfTrial]) -> Iterator[Trial]:
    for one in trials:
        yield from (one.trial, *one.repeats)


def uncertainty_given(
    outcome: Outcome,
    trials: Sequence[RunsOfTrial],
    predictions: Mapping[str, Predictions],
    *,
    num_draws: int = 1000,
    seed: int = 0,
) -> Uncertainty:
    """Return the same of compared trials with their reruns, and run -> dev predictions."""
    scores, places = _resampled(trials, predictions, num_draws, seed)
    noises = []
    for place, name in enumerate(outcome.objectives):
        generator = np.random.default_rng((seed, 2**20, place))
        if trials and is_score(name, trials[0].trial.tasks):
            rows = scores.get(name)
            noises.append(noise_of_score(name, trials, rows, places, generator, num_draws=num_draws))
        else:
            noises.append(noise_of_costs(name, trials, num_draws, generator))
    signs_M = np.array([loss_of(1.0, objective.direction) for objective in outcome.objectives.values()])
    shape = (num_draws, len(trials), len(noises))
    draws = np.stack([noise.draws for noise in noises], axis=2) * signs_M if noises else np.zeros(shape)
    estimates = np.stack([noise.estimates for noise in noises], axis=1) if noises else np.zeros(shape[1:])
    errors = np.stack([noise.standard_errors for noise in noises], axis=1) if noises else np.zeros(shape[1:])
    critical = critical_value(noises, outcome.objectives)
    tolerance = np.array(
        [_tolerance(noise, name, outcome) for noise, name in zip(noises, outcome.objectives, strict=True)]
    )
    return Uncertainty(
        draws=draws,
        estimates=estimates,
        standard_errors=errors,
        intervals=_intervals(noises, errors),
        sources=tuple(noise.source for noise in noises),
        front_probability=_front_probability(draws, outcome),
        may_be_on_front=may_be_on_front(noises, critical, outcome.objectives, len(trials)),
        tolerance=tolerance,
        as_good_as=_as_good_as(outcome, estimates * signs_M, tolerance),
        notes=tuple(_notes(noises, outcome)),
        critical=critical,
        noises=tuple(noises),
    )


def comparison(uncertainty: Uncertainty, outcome: Outcome, first: str, second: str) -> tuple[Comparison, ...]:
    """Return how two compared trials differ, objective by objective."""
    place_of = {trial.trial_id: place for place, trial in enumerate(outcome.compared)}
    return tuple(
        compare(noise, uncertainty.critical, name, place_of[first], place_of[second])
        for noise, name in zip(uncertainty.noises, outcome.objectives, strict=True)
    )


def _resampled(
    trials: Sequence[RunsOfTrial], predictions: Mapping[str, Predictions], num_draws: int, seed: int
) -> tuple[dict[str, ResampledScore], dict[str, int]]:
    """Return the scores of all runs with predictions on resampled dev rows, and run -> its column in them."""
    runs = [run for run in _all_runs(trials) if run.trial_id in predictions]
    tasks = _tasks_of(runs[0]) if runs else None
    if tasks is None:
        return {}, {}
    runs = [run for run in runs if _fit(predictions[run.trial_id], tasks)]
    if not runs:
        return {}, {}
    once = bootstrap_scores(tasks, [predictions[run.trial_id] for run in runs], num_draws=1, seed=seed)
    runs = [run for place, run in enumerate(runs) if _are_of_run(once, place, run)]
    if not runs:
        return {}, {}
    scores = bootstrap_scores(tasks, [predictions[run.trial_id] for run in runs], num_draws=num_draws, seed=seed)
    return scores, {run.trial_id: place for place, run in enumerate(runs)}


def _tasks_of(run: Trial) -> tuple[TaskSpec, ...] | None:
    """Return a run's tasks; none where they are those of another version."""
    try:
        return TypeAdapter(tuple[TaskSpec, ...]).validate_python(run.config["tasks"])
    except ValidationError:
        return None


def _fit(predictions: Predictions, tasks: Sequence[TaskSpec]) -> bool:
    """Whether predictions are of these tasks: a file may be another sweep's."""
    return all(task.name in predictions and _fits(predictions[task.name], task) for task in tasks)


def _fits(kept: TaskPredictions, task: TaskSpec) -> bool:
    if len(kept.labels) == 0:
        return False
    if kept.is_regression or task.kind.is_regression:
        return kept.is_regression and task.kind.is_regression
    if task.num_classes is None or max(kept.values.max(initial=0), kept.labels.max(initial=0)) >= task.num_classes:
        return False
    if not any(task_metric(name).ranks_probabilities for name in task.metric_names):
        return True
    return kept.probabilities is not None and kept.probabilities.shape[1] == task.num_classes


def _are_of_run(scores: Mapping[str, ResampledScore], place: int, run: Trial) -> bool:
    """Whether predictions give the scores that the run has reported."""
    pairs = [(score.observed[place], run.metrics.get(name)) for name, score in scores.items()]
    return all(
        reported is None or abs(observed - reported) <= _SAME_SCORE * max(1.0, abs(reported))
        for observed, reported in pairs
    )


def _intervals(noises: Sequence[Noise], errors_NM: Floats) -> Floats:
    """Return (N, M, 2): what 95% of the draws lie between."""
    if not errors_NM.size:
        return np.zeros((*errors_NM.shape, 2))
    # An objective at a time: quantiles take a copy of the draws.
    ends = np.stack([np.quantile(noise.draws, [0.025, 0.975], axis=0).T for noise in noises], axis=1)
    return np.where(np.isnan(errors_NM)[:, :, None], np.nan, ends)


def _front_probability(draws_BNM: Floats, outcome: Outcome) -> Floats:
    num_draws, num_trials, num_objectives = draws_BNM.shape
    if not num_trials or not num_objectives:
        return np.zeros(num_trials)
    bounds_M = np.array(
        [
            np.inf if objective.constraint is None else loss_of(objective.constraint, objective.direction)
            for objective in outcome.objectives.values()
        ]
    )
    times_N = np.zeros(num_trials)
    for losses_NM in draws_BNM:
        feasible = np.flatnonzero((losses_NM <= bounds_M).all(axis=1))
        times_N[feasible[front_mask(losses_NM[feasible])]] += 1
    return np.asarray(times_N / num_draws)


def _tolerance(noise: Noise, name: str, outcome: Outcome) -> float:
    """Return the YAML's, or by default a standard error of a difference (Breiman et al. 1984, the one-SE rule).

    It is that of two members of the front, the median over pairs. A measured cost has at least its meter's.
    """
    given = outcome.objectives[name].tolerance
    if given is not None:
        return given
    members = [place for place, trial in enumerate(outcome.compared) if any(trial is other for other in outcome.front)]
    if not members:
        return 0.0
    size = float(np.median(np.abs(noise.estimates[members])))
    errors = noise.errors_of_differences()[np.ix_(members, members)][np.triu_indices(len(members), 1)]
    known = errors[~np.isnan(errors)]
    median = float(np.median(known)) if len(known) else 0.0
    is_cost = not is_score(name, outcome.compared[0].tasks) and noise.source != EXACT
    return max(median * size if noise.is_log else median, METER_SHARE * size if is_cost else 0.0)


def _as_good_as(outcome: Outcome, losses_NM: Floats, tolerance_M: Floats) -> dict[str, str]:
    place_of = {trial.trial_id: place for place, trial in enumerate(outcome.compared)}
    members = [trial.trial_id for trial in outcome.front]
    if not members:
        return {}
    found = as_good_as(losses_NM[[place_of[member] for member in members]], tolerance_M)
    return {members[member]: members[other] for member, other in found.items()}


def _notes(noises: Sequence[Noise], outcome: Outcome) -> Iterator[str]:
    if not outcome.compared:
        return
    named = list(zip(noises, outcome.objectives, strict=True))
    if unknown := [plain_name(name) for noise, name in named if noise.source == NOT_KNOWN]:
        yield (
            f"Nothing tells the noise of {joined(unknown)}, which {'is' if len(unknown) == 1 else 'are'} taken as "
            "exact here; runs with other seeds tell it (sweep --resume FOLDER --repeat-front 3)."
        )
    for noise, name in named:
        lacking = [t.trial_id for t, e in zip(outcome.compared, noise.standard_errors, strict=True) if np.isnan(e)]
        if lacking and noise.source != NOT_KNOWN:
            which = joined(lacking) if len(lacking) <= _MAX_NAMED else counted(len(lacking), "trial")
            yield (
                f"No dev predictions that fit their scores are there of {which}, so nothing tells the noise of "
                f"{plain_name(name)} for them."
            )
