"""How much the figures of trials would vary: over dev rows by the bootstrap, over seeds and measurements by reruns.

A trial's score is that of one seed on some dev rows, and its costs are those of one run beside others. Further seeds
tell how far scores and costs spread from run to run, a run alone what the others did to the costs. The spread is taken
to be the same for all trials (of costs: the same share), and is known only as well as the number of reruns tells it.

Some 300 lines, not split: scores and costs share the spread and how badly it is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mtbert_ray.metrics import MetricValue
from mtbert_ray.scoring.bootstrap import ResampledScore
from mtbert_ray.trial import Trial

# B draws, N trials, K runs of a trial

Floats = NDArray[np.float64]

EXACT = "exact"
NOT_KNOWN = "not known"
COUNTED = ("trainable_parameters", "trainable_percent")
"""Metrics that are counted and not measured."""
METER_SHARE = 0.01
"""A measured cost is not taken to be better known than to this share of it, also of a run alone: meters sample."""
_MAX_LOG = 5.0
"""Largest error of a cost, as a logarithm: few reruns cannot exclude a larger one, but nobody's decision needs it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunsOfTrial:
    """A trial's own run, and the reruns of its config."""

    trial: Trial
    repeats: tuple[Trial, ...] = ()
    """With other seeds, finished."""
    alone: Mapping[str, MetricValue] = field(default_factory=dict)
    """Its costs as measured alone, projected to the end; empty where they were not."""

    def values(self, metric: str) -> Floats:
        """Return a metric (K,) of its own run and of the repeats that have it."""
        own = float(_known(self.trial.metrics[metric]))
        return np.array([own, *(float(v) for run in self.repeats if (v := run.metrics.get(metric)) is not None)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Noise:
    """The noise of one objective. Covariance and deviations are on the scale on which it adds up: of costs the logs."""

    estimates: Floats
    """(N,) in the metric's unit: of repeated trials the mean over seeds, of remeasured ones the costs alone."""
    draws: Floats
    """(B, N) in the metric's unit: what the estimates might have been."""
    covariance: Floats
    """(N, N) of the noise; NaN for trials whose noise is not known. Zeros where that of none is."""
    deviations: Floats
    """(B, N) normal noise with this covariance, as widely spread as it is badly known: Student's t of few reruns."""
    yardstick: Floats
    """(N, N), the covariance with what is known by few reruns as much larger as t's tails are longer. Deviations are
    measured by it, so that a pair whose noise is badly known does not set the measure for all others."""
    is_log: bool
    source: str
    """Where the noise is from, in words."""
    num_rows: int | None = None
    """The fewest dev rows of a task, where it is from dev rows."""

    @property
    def is_known(self) -> bool:
        """Whether anything tells it. The figures are taken as exact otherwise."""
        return self.source not in (EXACT, NOT_KNOWN)

    def scaled(self, values: Floats) -> Floats:
        """Return values of the metric on the scale of the noise."""
        return np.log(values) if self.is_log else values

    @property
    def standard_errors(self) -> Floats:
        """Return the standard errors (N,) in the metric's unit; NaN where the noise is not known."""
        if self.source == NOT_KNOWN:
            return np.full(len(self.estimates), np.nan)
        errors = np.sqrt(np.diagonal(self.covariance))
        return np.asarray(errors * self.estimates if self.is_log else errors)

    def errors_of_differences(self) -> Floats:
        """Return the standard errors (N, N) of differences between trials; 0 where rounding alone makes one."""
        return _errors_of_differences(self.covariance)

    @cached_property
    def yards_of_differences(self) -> Floats:
        """Return what differences (N, N) are measured by."""
        return _errors_of_differences(self.yardstick)

    @property
    def yards(self) -> Floats:
        """Return what differences (N,) from a number are measured by."""
        return np.asarray(np.sqrt(np.diagonal(self.yardstick)))


def _errors_of_differences(covariance: Floats) -> Floats:
    own = np.diagonal(covariance)
    sums = own[:, None] + own
    squares = sums - 2 * covariance
    return np.asarray(np.sqrt(np.where(squares <= 1e-10 * sums, np.where(np.isnan(squares), np.nan, 0.0), squares)))


def noise_without_runs(values: Floats, num_draws: int, source: str) -> Noise:
    """Return the noise of figures that are exact, or of whose noise nothing is known."""
    num = len(values)
    return Noise(
        estimates=values,
        draws=np.broadcast_to(values, (num_draws, num)),
        covariance=np.zeros((num, num)),
        deviations=np.zeros((num_draws, num)),
        yardstick=np.zeros((num, num)),
        is_log=False,
        source=source,
    )


def noise_of_costs(metric: str, trials: Sequence[RunsOfTrial], num_draws: int, generator: np.random.Generator) -> Noise:
    """Return the noise of a metric that is no score of dev rows, from repeats and from runs alone.

    Where some trials were measured alone, their figures are the estimates, and those of the others are brought to what
    the machine's load did on average to those.
    """
    own = np.array([float(_known(one.trial.metrics[metric])) for one in trials])
    runs = [one.values(metric) for one in trials]
    alone = np.array([_positive(one.alone.get(metric)) for one in trials])
    is_log = bool(all((values > 0).all() for values in runs))
    is_alone = np.isfinite(alone) & is_log
    spread = _Spread.of([np.log(values) if is_log else values for values in runs])
    if metric in COUNTED:
        return noise_without_runs(own, num_draws, EXACT)
    num_runs = np.array([len(values) for values in runs])
    means = np.array([np.mean(np.log(values) if is_log else values) for values in runs])
    if is_alone.any():
        apart = np.log(alone[is_alone]) - means[is_alone]
        load = apart.mean()
        spread = spread.with_residuals((apart - load) * np.sqrt(num_runs[is_alone]), 1)
        means = np.where(is_alone, np.log(np.where(is_alone, alone, 1.0)), means + load)
    if spread.freedom == 0:
        return noise_without_runs(np.exp(means) if is_alone.any() else own, num_draws, NOT_KNOWN)
    is_shared = bool(is_alone.any())
    # A trial that was measured alone has the meter's noise, the others have that of the load, of a mean as well.
    shares = np.where(is_alone, 0.0, 1 / num_runs)
    in_common = np.where(is_alone | (not is_shared), 0.0, 1 / max(1, int(is_alone.sum())))
    size_B = spread.drawn(num_draws, generator)
    deviations = size_B[:, None] * (
        np.sqrt(shares) * generator.normal(size=(num_draws, len(trials)))
        + np.sqrt(in_common) * generator.normal(size=(num_draws, 1))
    )
    meter = np.where(is_alone, METER_SHARE, 0.0)
    deviations = deviations + meter * generator.normal(size=deviations.shape)
    of_load = spread.variance * (np.diag(shares) + np.sqrt(np.outer(in_common, in_common)))
    drawn = means + np.clip(deviations, -_MAX_LOG, _MAX_LOG) if is_log else means + deviations
    return Noise(
        estimates=np.exp(means) if is_log else means,
        draws=np.exp(drawn) if is_log else drawn,
        covariance=of_load + np.diag(meter**2),
        deviations=deviations,
        yardstick=of_load * spread.tails(len(trials)) ** 2 + np.diag(meter**2),
        is_log=is_log,
        source=_costs_in_words(int(num_runs.max()), int(is_alone.sum())),
    )


def noise_of_score(
    metric: str,
    trials: Sequence[RunsOfTrial],
    rows: ResampledScore | None,
    places: Mapping[str, int],
    generator: np.random.Generator,
    *,
    num_draws: int,
) -> Noise:
    """Return the noise of a score of the dev rows, from resampled rows and from repeats.

    Args:
        metric: the score.
        trials: compared ones, with their repeats.
        rows: the score of all runs that have predictions; none where none has.
        places: the ids of these runs -> their columns in `rows`.
        generator: of the draws.
        num_draws: how many.
    """
    runs = [one.values(metric) for one in trials]
    estimates = np.array([values.mean() for values in runs])
    spread = _Spread.of(runs)
    num_runs = np.array([len(values) for values in runs])
    rows_BN, of_single_runs = _over_rows(trials, rows, places, num_draws)
    has_rows = np.isfinite(rows_BN).all(axis=0)
    if not has_rows.any() and spread.freedom == 0:
        return noise_without_runs(estimates, num_draws, NOT_KNOWN)
    if has_rows.any():
        is_known = has_rows
    else:
        is_known, rows_BN = np.ones(len(trials), dtype=np.bool_), np.zeros_like(rows_BN)
    # Runs of one config differ on the dev rows more than they would on all rows there are, and that is in the noise
    # of the rows already.
    size_B = np.sqrt(np.maximum(0.0, spread.drawn(num_draws, generator) ** 2 - of_single_runs))
    seeds_BN = size_B[:, None] * generator.normal(size=rows_BN.shape) / np.sqrt(num_runs)
    known = np.where(is_known, rows_BN, 0.0)
    of_rows = np.atleast_2d(np.cov(known, rowvar=False))
    of_rows[~is_known], of_rows[:, ~is_known] = np.nan, np.nan
    of_seeds = np.diag(max(0.0, spread.variance - of_single_runs) / num_runs)
    badly_known = np.diag(max(0.0, spread.variance * spread.tails(len(trials)) ** 2 - of_single_runs) / num_runs)
    # Sums of the draws with normal weights: normal noise with their covariance. The largest of many differences would
    # otherwise come from pairs of trials that differ in a row or two.
    normal_BN = generator.normal(size=(num_draws, num_draws)) @ known / np.sqrt(num_draws) if known.any() else known
    parts = ["dev rows"] * bool(has_rows.any()) + [f"{num_runs.max()} seeds"] * (spread.freedom > 0)
    return Noise(
        estimates=estimates,
        draws=estimates + np.where(is_known, known + seeds_BN, 0.0),
        covariance=of_rows + of_seeds,
        deviations=normal_BN + seeds_BN,
        yardstick=of_rows + badly_known,
        is_log=False,
        source=" and ".join(parts),
        num_rows=None if rows is None else rows.num_rows,
    )


def _over_rows(
    trials: Sequence[RunsOfTrial], rows: ResampledScore | None, places: Mapping[str, int], num_draws: int
) -> tuple[Floats, float]:
    """Return the deviations (B, N) of trials over resampled rows, NaN without, and what runs of one trial differ by.

    The latter is the variance over rows of a run around the mean of the runs of its trial.
    """
    deviations = np.full((num_draws, len(trials)), np.nan)
    differences, freedom = 0.0, 0
    if rows is None:
        return deviations, 0.0
    for place, one in enumerate(trials):
        columns = [places[run.trial_id] for run in (one.trial, *one.repeats) if run.trial_id in places]
        if not columns:
            continue
        around = rows.draws[:, columns] - rows.draws[:, columns].mean(axis=0)
        deviations[:, place] = around.mean(axis=1)
        if len(columns) > 1 and np.isfinite(around).all():
            differences += float((around - around.mean(axis=1, keepdims=True)).var(axis=0).sum())
            freedom += len(columns) - 1
    return deviations, differences / freedom if freedom else 0.0


@dataclass(frozen=True, kw_only=True)
class _Spread:
    """The spread of a figure from run to run."""

    squares: float
    freedom: int

    @classmethod
    def of(cls, runs: Sequence[Floats]) -> "_Spread":
        """Return that of runs around the mean of their trial, pooled over trials."""
        return cls(
            squares=float(sum(((values - values.mean()) ** 2).sum() for values in runs)),
            freedom=sum(len(values) - 1 for values in runs),
        )

    def with_residuals(self, residuals: Floats, num_fitted: int) -> "_Spread":
        """Return that with further deviations, around so many fitted numbers."""
        return _Spread(
            squares=self.squares + float((residuals**2).sum()),
            freedom=self.freedom + len(residuals) - num_fitted,
        )

    @property
    def variance(self) -> float:
        """Return the estimated variance of one run; 0 where nothing tells it."""
        return self.squares / self.freedom if self.freedom else 0.0

    def tails(self, num_trials: int) -> float:
        """Return how much longer the tails of t are than the normal's, where the largest of so many trials lies."""
        if self.freedom == 0:
            return 1.0
        share = 1 - 0.025 / max(1, num_trials)
        return float(stats.t.ppf(share, self.freedom) / stats.norm.ppf(share))

    def drawn(self, num_draws: int, generator: np.random.Generator) -> Floats:
        """Return standard deviations (B,) as they might be: normal noise of these sizes is Student's t."""
        if self.freedom == 0:
            return np.zeros(num_draws)
        return np.asarray(np.sqrt(self.squares / generator.chisquare(self.freedom, size=num_draws)))


def _costs_in_words(num_runs: int, num_alone: int) -> str:
    parts = [f"{num_runs} runs"] * (num_runs > 1) + [f"{num_alone} trials measured alone"] * (num_alone > 0)
    return " and ".join(parts)


def _known(value: MetricValue) -> float | int:
    assert value is not None, "compared trials have a value for every objective"
    return value


def _positive(value: MetricValue) -> float:
    return float(value) if value is not None and value > 0 else np.nan
