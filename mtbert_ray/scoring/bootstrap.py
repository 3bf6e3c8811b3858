"""Paired bootstrap over dev rows: the scores of all runs of a sweep on the same resamples of the rows (Efron 1979).

What all runs find hard then moves all of them together, and the noise of a difference between two is what is left.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.metrics import MEAN_SCORES
from mtbert_ray.scoring.dev_predictions import TaskPredictions
from mtbert_ray.scoring.resampled_metrics import Counts, has_value, resampled_metric
from mtbert_ray.task_metrics import task_metric
from mtbert_ray.tasks import TaskSpec

# B draws, N runs, R rows

Floats = NDArray[np.float64]

_CHUNK = 2**22
"""Counts of rows held at once."""
_MAX_TRIES = 20
"""Resamples drawn for one that has a value, as one with a row of each class."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ResampledScore:
    """A score of N runs."""

    observed: Floats
    """(N,) on the rows as they are."""
    draws: Floats
    """(B, N) on the resamples; NaN where nearly no resample has a value."""
    num_rows: int
    """Dev rows; of a mean over tasks, of the task with the fewest."""


def bootstrap_scores(
    tasks: Sequence[TaskSpec],
    runs: Sequence[Mapping[str, TaskPredictions]],
    *,
    num_draws: int = 1000,
    seed: int = 0,
) -> dict[str, ResampledScore]:
    """Return the scores of runs under the names that reports use: `topic`, `topic.f1_macro`, and both means.

    Runs with the same labels in a task share its resamples; others have dev rows of their own. A resample in which a
    metric has no value whatever is predicted, as one without a row of some class, is drawn again.

    Args:
        tasks: with their classes.
        runs: task -> its dev predictions, all tasks of each run.
        num_draws: resamples.
        seed: of the draws.
    """
    scores: dict[str, ResampledScore] = {}
    for place, task in enumerate(tasks):
        of_task = _scores_of_task(task, [run[task.name] for run in runs], num_draws, (seed, place))
        scores[task.name] = of_task[task.metric]
        scores |= {f"{task.name}.{metric}": of_task[metric] for metric in task.metrics}
    return scores | {name: _mean(name, tasks, scores) for name in MEAN_SCORES}


def _mean(name: str, tasks: Sequence[TaskSpec], scores: Mapping[str, ResampledScore]) -> ResampledScore:
    """Return the mean over tasks that `metrics.task_scores` takes."""
    total = sum(task.weight for task in tasks)

    def mean(arrays: Sequence[Floats]) -> Floats:
        terms = [
            task.weight * ((array + 1) / 2 if _is_shifted(name, task) else array)
            for task, array in zip(tasks, arrays, strict=True)
        ]
        return np.asarray(np.sum(terms, axis=0) / total)

    own = [scores[task.name] for task in tasks]
    return ResampledScore(
        observed=mean([score.observed for score in own]),
        draws=mean([score.draws for score in own]),
        num_rows=min(score.num_rows for score in own),
    )


def _is_shifted(name: str, task: TaskSpec) -> bool:
    return name == "leaderboard_score" and task_metric(task.metric).is_correlation


def _scores_of_task(
    task: TaskSpec, runs: Sequence[TaskPredictions], num_draws: int, seed: tuple[int, ...]
) -> dict[str, ResampledScore]:
    """Return the task's metrics; the draws of runs with other rows are independent."""
    rows_of: dict[bytes, list[int]] = {}
    for place, run in enumerate(runs):
        rows_of.setdefault(run.labels.tobytes(), []).append(place)
    observed = {metric: np.full(len(runs), np.nan) for metric in task.metric_names}
    draws = {metric: np.full((num_draws, len(runs)), np.nan) for metric in task.metric_names}
    for group, places in enumerate(rows_of.values()):
        alike = [runs[place] for place in places]
        if len(alike[0].labels) == 0:
            continue
        scorers = {metric: resampled_metric(task, metric, alike) for metric in task.metric_names}
        once: Counts = np.ones((len(alike[0].labels), 1), dtype=np.float32)
        for metric, scorer in scorers.items():
            observed[metric][places] = scorer(once)[0]
        possible = [metric for metric in scorers if has_value(task, metric, alike[0].labels, once).all()]
        # A further metric that few resamples allow must not take the noise of the task's own score away.
        for metrics in (possible, [metric for metric in possible if metric == task.metric]):
            generator, found = np.random.default_rng((*seed, group)), 0
            for counts in _resamples(task, metrics, alike[0], num_draws, generator):
                for metric in metrics:
                    draws[metric][found : found + counts.shape[1], places] = scorers[metric](counts)
                found += counts.shape[1]
            if found == num_draws:
                break
            for metric in metrics:
                draws[metric][:, places] = np.nan
    num_rows = min(len(run.labels) for run in runs)
    return {
        metric: ResampledScore(observed=observed[metric], draws=draws[metric], num_rows=num_rows)
        for metric in task.metric_names
    }


def _resamples(
    task: TaskSpec, metrics: Sequence[str], rows: TaskPredictions, num_draws: int, generator: np.random.Generator
) -> Iterator[Counts]:
    """Yield counts of rows, so many draws in all; fewer where nearly none lets every one of the metrics have a value.

    None at all without a metric.
    """
    if not metrics:
        return
    num_rows = len(rows.labels)
    at_once = max(1, min(num_draws, _CHUNK // num_rows))
    missing, tries = num_draws, 0
    while missing > 0 and tries < _MAX_TRIES * num_draws:
        counts = _drawn(num_rows, at_once, generator)
        tries += at_once
        has_values = np.logical_and.reduce([has_value(task, metric, rows.labels, counts) for metric in metrics])
        counts = (counts if has_values.all() else counts[:, has_values])[:, :missing]
        missing -= counts.shape[1]
        yield counts


def _drawn(num_rows: int, num_draws: int, generator: np.random.Generator) -> Counts:
    """Return how often each row is among as many rows drawn with replacement, (R, B)."""
    rows = generator.integers(num_rows, size=(num_rows, num_draws))
    places = rows * num_draws + np.arange(num_draws)
    return np.bincount(places.ravel(), minlength=num_rows * num_draws).reshape(num_rows, num_draws).astype(np.float32)
