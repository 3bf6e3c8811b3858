"""The view's judgement: noise, recommendations, lines on the space's choices, importance. Each may be missing."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.reporting.importance import FRONT_TARGET, importance_of
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.recommendation import Recommendations, recommend
from mtbert_ray.reporting.repeats import RerunSummary, rerun_summary
from mtbert_ray.reporting.uncertainty import Uncertainty, comparison, uncertainty_of
from mtbert_ray.reporting.wording import plain_name

# N compared trials, M objectives


class TrialNoise(TypedDict):
    """How sure a compared trial's values are; lists have one entry an objective, null where nothing tells."""

    estimates: list[float]
    """The values that the judgement goes by: of repeated trials the means over seeds."""
    standard_errors: list[float | None]
    intervals: list[list[float] | None]
    """95%, in the metric's unit."""
    front_probability: float
    may_be_on_front: bool
    as_good_as: str | None
    """A front member than which it is not better by more than the tolerance in any objective; it may be worse."""
    differs_from_best: list[bool | None]
    """Whether it differs beyond noise from the trial that is recommended as the best."""


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


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is found out of a sweep's outcome; what is None has no section in the page."""

    uncertainty: Uncertainty | None = None
    recommendations: tuple[RecommendationView, ...] | None = None
    choices: tuple[ChoiceView, ...] | None = None
    reruns: RerunSummary | None = None
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Trial -> what to mind of it, as a task that lost more than the stated amount."""
    importance: dict[str, dict[str, tuple[float, float, float]]] | None = None
    """Target, an objective or `FRONT_TARGET` -> hyperparameter -> value and the ends of its 95% interval."""


def judge(outcome: Outcome, folder: Path) -> Judgement:
    """Return the judgement of a sweep's outcome, with the dev predictions below its folder."""
    uncertainty = uncertainty_of(outcome, folder)
    found = recommend(outcome, uncertainty)
    warnings: dict[str, tuple[str, ...]] = {}
    for loss in found.task_losses:
        warnings[loss.trial_id] = (*warnings.get(loss.trial_id, ()), loss.reason)
    return Judgement(
        uncertainty=uncertainty,
        recommendations=tuple(_recommendations(found)) if found.picks else None,
        choices=tuple(ChoiceView(choice=line.label, verdict=line.text) for line in found.choices) or None,
        reruns=rerun_summary(outcome, uncertainty),
        warnings=warnings,
        importance=importance_of(outcome) or None,
    )


def _recommendations(found: Recommendations) -> Iterator[RecommendationView]:
    for pick in found.picks:
        yield RecommendationView(title=pick.title, trial=pick.trial.trial_id, reason=pick.reason)
    bend = None if found.bend.trial is None else found.bend.trial.trial_id
    yield RecommendationView(title="bend of the front", trial=bend, reason=found.bend.reason)


def noise_by_trial(outcome: Outcome, judged: Judgement) -> dict[str, TrialNoise]:
    """Return the noise of each compared trial; nothing where none is known."""
    noise = judged.uncertainty
    if noise is None:
        return {}
    best = judged.recommendations[0]["trial"] if judged.recommendations else None
    return {
        trial.trial_id: TrialNoise(
            estimates=noise.estimates[place].tolist(),
            standard_errors=[_finite(value) for value in noise.standard_errors[place]],
            intervals=[_interval(pair) for pair in noise.intervals[place]],
            front_probability=float(noise.front_probability[place]),
            may_be_on_front=bool(noise.may_be_on_front[place]),
            as_good_as=noise.as_good_as.get(trial.trial_id),
            differs_from_best=[]
            if best is None
            else [each.is_beyond_noise for each in comparison(noise, outcome, trial.trial_id, best)],
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
        "rerun_summary": None if judged.reruns is None else asdict(judged.reruns),
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
