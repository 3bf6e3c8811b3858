"""Which few configs of a sweep are worth having, each with its numbers and the reason in a sentence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.config.sections import ReportConfig
from mtbert_ray.pareto.knee import MIN_DEPTH, depths, ends_of
from mtbert_ray.pareto.objectives import loss_of
from mtbert_ray.reporting.beyond_noise import CONFIDENCE, reach_of
from mtbert_ray.reporting.choice_lines import ChoiceLine, choice_lines
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.uncertainty import Uncertainty
from mtbert_ray.reporting.wording import counted, difference, joined, plain_name, quantity
from mtbert_ray.trial import Trial, is_score

# B draws, N compared trials, M objectives, F members of the front

Floats = NDArray[np.float64]
Kind = Literal["best", "cheapest_within_noise", "cheapest_keeping_share"]


@dataclass(frozen=True, kw_only=True)
class Pick:
    """A recommended trial."""

    kind: Kind
    title: str
    """As "least train time within noise of the best dev score"."""
    costs: tuple[str, ...]
    """The objectives in which it is the cheapest; none for the best."""
    trial: Trial
    values: dict[str, float]
    """Objective -> the trial's estimate, in the metric's unit."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Bend:
    """Where the front bends, or that it does not."""

    trial: Trial | None
    depth: float | None
    """How far the deepest member lies below the line through the ends, as a share of the range; none without a line."""
    low: float | None
    """What it is at least, beyond noise."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class TaskLoss:
    """A task that loses more than the space's `report.task_loss` in a trial on the front."""

    trial_id: str
    task: str
    score: float
    best: float
    best_trial_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Recommendations:
    """What a report begins with."""

    picks: tuple[Pick, ...]
    bend: Bend
    choices: tuple[ChoiceLine, ...]
    task_losses: tuple[TaskLoss, ...]


def recommend(outcome: Outcome, uncertainty: Uncertainty) -> Recommendations:
    """Return what to recommend of a sweep; no picks where no trial is feasible."""
    asked = report_config(outcome)
    return Recommendations(
        picks=tuple(_picks(outcome, uncertainty, asked)),
        bend=bend_of(outcome, uncertainty),
        choices=choice_lines(outcome, uncertainty),
        task_losses=tuple(_task_losses(outcome, asked)),
    )


def report_config(outcome: Outcome) -> ReportConfig:
    """Return what the search space asks of its report; the defaults in a journal of an earlier version."""
    given = outcome.sweep.started.space.get("report") or {}
    return ReportConfig.model_validate({key: given[key] for key in ReportConfig.model_fields if key in given})


def quality_of(outcome: Outcome) -> str | None:
    """Return the objective that is best called the quality: the first score, or else the first of all."""
    tasks = outcome.sweep.started.tasks
    return next((name for name in outcome.objectives if is_score(name, tasks)), next(iter(outcome.objectives), None))


def _picks(outcome: Outcome, uncertainty: Uncertainty, asked: ReportConfig) -> Iterator[Pick]:
    feasible = np.flatnonzero(outcome.feasible)
    name = quality_of(outcome)
    if name is None or not len(feasible):
        return
    names = list(outcome.objectives)
    quality = names.index(name)
    losses_NM = uncertainty.estimates * _signs(outcome)
    # The best of many single runs owes more to chance than a mean over seeds.
    repeated = [place for place in feasible if outcome.sweep.repeats_of(outcome.compared[place].trial_id)]
    is_front_repeated = all(outcome.sweep.repeats_of(trial.trial_id) for trial in outcome.front)
    candidates = np.array(repeated) if is_front_repeated else feasible
    best = int(candidates[np.lexsort((*losses_NM[candidates].T[::-1], losses_NM[candidates, quality]))[0]])
    within = _within_noise(best, quality, outcome, feasible, uncertainty)
    which = "repeated" if is_front_repeated else "finished" if outcome.feasible.all() else "feasible"
    noun = counted(len(candidates), f"{which} trial")
    yield _best(best, within, name, noun, outcome, uncertainty)
    costs = [place for place, other in enumerate(names) if place != quality and not is_score(other, _tasks(outcome))]
    noise = uncertainty.noises[quality]
    if noise.is_known and not np.isnan(noise.standard_errors[best]):
        among = f"{counted(len(within), 'trial')} within noise of the best {plain_name(name)}"
        title = f"within noise of the best {plain_name(name)}"
        yield from _cheapest("cheapest_within_noise", title, among, within, costs, best, outcome, uncertainty)
    keeping = _keeping(asked.keep_share, uncertainty.estimates[:, quality], best, feasible, outcome, name)
    if keeping is not None:
        kept = f"{asked.keep_share:.0%} of the best {plain_name(name)}"
        among = f"{counted(len(keeping), 'trial')} with at least {kept}"
        title = f"with at least {kept}"
        yield from _cheapest("cheapest_keeping_share", title, among, keeping, costs, best, outcome, uncertainty)


def _within_noise(
    best: int, quality: int, outcome: Outcome, places: NDArray[np.intp], uncertainty: Uncertainty
) -> list[int]:
    noise = uncertainty.noises[quality]
    behind = _signs(outcome)[quality] * (noise.scaled(noise.estimates) - noise.scaled(noise.estimates[[best]]))
    reach = reach_of(noise, noise.yards_of_differences, uncertainty.critical)[best]
    return [int(place) for place in places if place == best or behind[place] <= reach[place]]


def _keeping(
    share: float, values_N: Floats, best: int, places: NDArray[np.intp], outcome: Outcome, name: str
) -> list[int] | None:
    """Return the trials that keep a share of the best; none where a share of it means nothing."""
    if values_N[best] <= 0:
        return None
    if outcome.objectives[name].direction == "maximize":
        return [int(place) for place in places if values_N[place] >= share * values_N[best]]
    return [int(place) for place in places if values_N[place] <= values_N[best] / share]


def _best(best: int, within: Sequence[int], name: str, among: str, outcome: Outcome, uncertainty: Uncertainty) -> Pick:
    objective = outcome.objectives[name]
    word = "highest" if objective.direction == "maximize" else "lowest"
    noise = uncertainty.noises[list(outcome.objectives).index(name)]
    value = quantity(name, float(noise.estimates[best]))
    trial = outcome.compared[best]
    unknown = sum(np.isnan(noise.standard_errors[place]) for place in np.flatnonzero(outcome.feasible))
    if not noise.is_known or np.isnan(noise.standard_errors[best]):
        sure = "how much of its lead is noise is not known" if len(outcome.compared) > 1 else "there is no other"
    elif len(within) > 1:
        sure = f"{counted(len(within) - 1, 'other trial')} {'is' if len(within) == 2 else 'are'} within noise of it"
    else:
        sure = "no other trial is within noise of it"
    if unknown and not np.isnan(noise.standard_errors[best]):
        sure += f"; the noise of {counted(int(unknown), 'other trial')} is not known"
    return Pick(
        kind="best",
        title=f"best {plain_name(name)}",
        costs=(),
        trial=trial,
        values=_values(best, outcome, uncertainty),
        reason=f"{trial.trial_id} has the {word} {plain_name(name)} of {among}, {value}; {sure}.",
    )


def _cheapest(
    kind: Kind,
    title: str,
    among: str,
    places: Sequence[int],
    costs: Sequence[int],
    best: int,
    outcome: Outcome,
    uncertainty: Uncertainty,
) -> Iterator[Pick]:
    """Yield the cheapest by each cost, one pick for all costs that it is the cheapest by."""
    names, losses_NM = list(outcome.objectives), uncertainty.estimates * _signs(outcome)
    quality_first = [names.index(quality_of(outcome) or names[0]), *range(len(names))]
    cheapest: dict[int, list[int]] = {}
    for cost in costs:
        lowest = min(losses_NM[place, cost] for place in places)
        # What is no difference to anybody does not decide: of those the best score.
        equal = [place for place in places if losses_NM[place, cost] <= lowest + uncertainty.tolerance[cost]]
        chosen = min(equal, key=lambda place: tuple(losses_NM[place, quality_first]))
        cheapest.setdefault(chosen, []).append(cost)
    for place, of in cheapest.items():
        trial, low = outcome.compared[place], joined([plain_name(names[cost]) for cost in of])
        if place == best:
            change = "it is the best as well"
        else:
            change = f"it has {_change(place, best, outcome, uncertainty)} than {outcome.compared[best].trial_id}"
        yield Pick(
            kind=kind,
            title=f"least {low} {title}" if all(_is_less(names[c], outcome) for c in of) else f"best {low} {title}",
            costs=tuple(names[cost] for cost in of),
            trial=trial,
            values=_values(place, outcome, uncertainty),
            reason=f"{trial.trial_id} is the cheapest in {low} among {among}; {change}.",
        )


def _change(place: int, best: int, outcome: Outcome, uncertainty: Uncertainty) -> str:
    losses = (uncertainty.estimates[place] - uncertainty.estimates[best]) * _signs(outcome)
    return joined(
        [
            difference(name, objective.direction, float(loss))
            for (name, objective), loss in zip(outcome.objectives.items(), losses, strict=True)
            if loss != 0
        ]
    )


def bend_of(outcome: Outcome, uncertainty: Uncertainty) -> Bend:
    """Return where the front bends: its deepest member, if noise does not explain that it lies so deep.

    The depths of all feasible trials are measured in each draw; the largest error of any is what noise explains.
    """
    places = [next(place for place, other in enumerate(outcome.compared) if other is trial) for trial in outcome.front]
    if len(places) < 3:
        few = f"a front of {counted(len(places), 'trial')} has no bend" if places else "there is no front"
        return Bend(trial=None, depth=None, low=None, reason=f"No bend: {few}.")
    losses_NM = uncertainty.estimates * _signs(outcome)
    ends = [places[end] for end in ends_of(losses_NM[places])]
    if len(ends) < 2:
        return Bend(trial=None, depth=None, low=None, reason="No bend: one trial is the best in every objective.")
    depths_N = depths(losses_NM, ends)
    deepest = max(places, key=lambda place: (round(float(depths_N[place]), 9), *(-losses_NM[place])))
    depth, trial = float(depths_N[deepest]), outcome.compared[deepest]
    lies = f"{trial.trial_id} lies {max(depth, 0):.0%} of the range below the line through the ends of the front"
    if depth < MIN_DEPTH:
        return Bend(trial=None, depth=depth, low=None, reason=f"No bend: {lies}; a bend is {MIN_DEPTH:.0%} or more.")
    if not any(noise.is_known for noise in uncertainty.noises):
        return Bend(trial=trial, depth=depth, low=None, reason=f"{lies}; how much of it is noise is not known.")
    feasible = np.flatnonzero(outcome.feasible)
    errors = [depths(losses, ends)[feasible] - depths_N[feasible] for losses in uncertainty.draws]
    low = depth - float(np.quantile(np.max(errors, axis=1), CONFIDENCE))
    if low <= 0:
        return Bend(trial=None, depth=depth, low=low, reason=f"No bend beyond noise: {lies}, which noise explains.")
    return Bend(trial=trial, depth=depth, low=low, reason=f"{lies}, and at least {low:.0%} beyond noise.")


def _task_losses(outcome: Outcome, asked: ReportConfig) -> Iterator[TaskLoss]:
    feasible = [trial for trial, meets in zip(outcome.compared, outcome.feasible, strict=True) if meets]
    for task in _tasks(outcome):
        scores = {t.trial_id: float(value) for t in feasible if (value := t.metrics.get(task)) is not None}
        if not scores:
            continue
        first = max(scores, key=lambda trial_id: scores[trial_id])
        for trial in outcome.front:
            score = scores.get(trial.trial_id)
            if score is not None and scores[first] - score > asked.task_loss:
                lost = quantity(task, scores[first] - score)
                yield TaskLoss(
                    trial_id=trial.trial_id,
                    task=task,
                    score=score,
                    best=scores[first],
                    best_trial_id=first,
                    reason=f"{trial.trial_id} loses {lost} in {plain_name(task)} against {first}, the best there.",
                )


def _tasks(outcome: Outcome) -> tuple[str, ...]:
    return tuple(outcome.sweep.started.tasks)


def _values(place: int, outcome: Outcome, uncertainty: Uncertainty) -> dict[str, float]:
    return dict(zip(outcome.objectives, uncertainty.estimates[place].tolist(), strict=True))


def _is_less(name: str, outcome: Outcome) -> bool:
    return outcome.objectives[name].direction == "minimize"


def _signs(outcome: Outcome) -> Floats:
    return np.array([loss_of(1.0, objective.direction) for objective in outcome.objectives.values()])
