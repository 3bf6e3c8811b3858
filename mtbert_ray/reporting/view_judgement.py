"""The view's judgement: noise, recommendations, lines on the space's choices, importance. Each may be missing."""

from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.wording import plain_name

# N compared trials, M objectives

FRONT_TARGET = "on_front"
"""What importance names reaching the front."""


class TrialNoise(TypedDict):
    """How sure a compared trial's values are; lists have one entry an objective, null where nothing tells."""

    standard_errors: list[float | None]
    intervals: list[list[float] | None]
    """95%, in the metric's unit."""
    front_probability: float
    may_be_on_front: bool
    as_good_as: str | None
    """A front member that it does not differ from by more than the tolerance in any objective."""


class RecommendationView(TypedDict):
    """A config worth having."""

    title: str
    trial: str | None
    """Null where there is none, as `no bend`."""
    reason: str


class ChoiceView(TypedDict):
    """How one named choice of the space did."""

    choice: str
    verdict: str


class ImportanceView(TypedDict):
    """Shares of each target's variance; `values` has a list a target with value, low and high a hyperparameter."""

    targets: list[str]
    labels: list[str]
    hyperparameters: list[str]
    values: list[list[list[float]]]


class Noise(Protocol):
    """What is read of the uncertainty of a sweep; arrays are in the order of `Outcome.compared` and its objectives."""

    @property
    def standard_errors(self) -> NDArray[np.float64]:
        """(N, M) in the metric's unit, NaN where nothing tells it."""
        ...

    @property
    def intervals(self) -> NDArray[np.float64]:
        """(N, M, 2), 95% in the metric's unit."""
        ...

    @property
    def sources(self) -> tuple[str, ...]:
        """(M,) what the noise is from, in words."""
        ...

    @property
    def front_probability(self) -> NDArray[np.float64]:
        """(N,) share of the resamples."""
        ...

    @property
    def may_be_on_front(self) -> NDArray[np.bool_]:
        """(N,) whether noise may hide that it is."""
        ...

    @property
    def tolerance(self) -> NDArray[np.float64]:
        """(M,) in the metric's unit."""
        ...

    @property
    def as_good_as(self) -> dict[str, str]:
        """Member of the front -> another one that it is no better than."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know of the noise."""
        ...


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What others found out of a sweep; what is None has no section in the page."""

    uncertainty: Noise | None = None
    recommendations: tuple[RecommendationView, ...] | None = None
    choices: tuple[ChoiceView, ...] | None = None
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Trial -> what to mind of it, as a task that lost more than the stated amount."""
    importance: dict[str, dict[str, tuple[float, float, float]]] | None = None
    """Target, an objective or `front` -> hyperparameter -> value and the ends of its 95% interval."""


def noise_by_trial(outcome: Outcome, judged: Judgement) -> dict[str, TrialNoise]:
    """Return the noise of each compared trial; nothing where none is known."""
    noise = judged.uncertainty
    if noise is None:
        return {}
    return {
        trial.trial_id: TrialNoise(
            standard_errors=[_finite(value) for value in noise.standard_errors[place]],
            intervals=[_interval(pair) for pair in noise.intervals[place]],
            front_probability=float(noise.front_probability[place]),
            may_be_on_front=bool(noise.may_be_on_front[place]),
            as_good_as=noise.as_good_as.get(trial.trial_id),
        )
        for place, trial in enumerate(outcome.compared)
    }


def judgement_view(outcome: Outcome, judged: Judgement) -> dict[str, Any]:
    """Return the view's keys that hold what was judged of the whole sweep."""
    return {
        "recommendations": None if judged.recommendations is None else list(judged.recommendations),
        "choices": None if judged.choices is None else list(judged.choices),
        "warnings": {trial: list(texts) for trial, texts in judged.warnings.items()},
        "noise_notes": [] if judged.uncertainty is None else list(judged.uncertainty.notes),
        "importance": _importance_view(outcome, judged),
    }


def _importance_view(outcome: Outcome, judged: Judgement) -> ImportanceView | None:
    if not judged.importance:
        return None
    targets = list(judged.importance)
    names = [
        name for name in outcome.sweep.started.hyperparameters if any(name in judged.importance[t] for t in targets)
    ]
    return ImportanceView(
        targets=targets,
        labels=["reaching the front" if target == FRONT_TARGET else plain_name(target) for target in targets],
        hyperparameters=names,
        values=[[list(judged.importance[target].get(name, (0.0, 0.0, 0.0))) for name in names] for target in targets],
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _interval(pair: NDArray[np.float64]) -> list[float] | None:
    return pair.tolist() if np.isfinite(pair).all() else None
