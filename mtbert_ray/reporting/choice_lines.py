"""What became of each named choice of a search space, in a line: "lora: beaten by heads_only, beyond noise"."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.pareto.objectives import loss_of
from mtbert_ray.reporting.beyond_noise import beaten_beyond_noise
from mtbert_ray.reporting.noise import EXACT, NOT_KNOWN
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.uncertainty import Uncertainty
from mtbert_ray.reporting.wording import config_value, counted, joined
from mtbert_ray.trial import Trial

# N compared trials, M objectives

_SAYS_NOTHING = ("none", "null", "default", "auto", "all")
"""Values that need the name of their key."""
_MAX_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class ChoiceLine:
    """One value of a choice by name, as an adapter or an experiment."""

    label: str
    hyperparameter: str
    value: str
    trials: tuple[str, ...]
    """The compared trials that have it."""
    on_front: tuple[str, ...]
    beaten_by: tuple[str, ...]
    """Labels of other choices, none where it is on the front: one that beats all its trials, or several together."""
    is_beyond_noise: bool
    """Whether noise leaves none of its trials on the front."""
    text: str
    """What the report says behind the label."""


def choice_lines(outcome: Outcome, uncertainty: Uncertainty) -> tuple[ChoiceLine, ...]:
    """Return a line for each text that the space chooses among, and each experiment.

    A value under which another choice applies is left to that one's lines: `adapter.kind: none` to `finetune`'s.
    """
    choices = _named(outcome)
    places = {
        choice: [i for i, trial in enumerate(outcome.compared) if trial.hyperparameters.get(choice[0]) == choice[1]]
        for choice in choices
    }
    signs_M = np.array([loss_of(1.0, objective.direction) for objective in outcome.objectives.values()])
    losses_NM = uncertainty.estimates * signs_M
    beaten = _Beaten(
        by=_dominated(losses_NM) & outcome.feasible,
        surely=beaten_beyond_noise(uncertainty.noises, uncertainty.critical, outcome.objectives, len(losses_NM)),
    )
    labels = _labels(choices)
    return tuple(_line(choice, labels, places, outcome, uncertainty, beaten) for choice in choices)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Beaten:
    by: NDArray[np.bool_]
    """(N, N): which trials each other, feasible one dominates."""
    surely: NDArray[np.bool_]
    """Beyond noise."""


_Choice = tuple[str, str]
"""Key and value."""


def _named(outcome: Outcome) -> list[_Choice]:
    """Return the named choices, those left out that only open the way to others."""
    search = outcome.sweep.started.space.get("search")
    search = search if isinstance(search, Mapping) else {}
    values = {name: _texts(name, search.get(name), outcome) for name in outcome.sweep.started.hyperparameters}
    opened = {
        (key, value)
        for name, texts in values.items()
        if len(texts) > 1
        for key, allowed in _conditions(search.get(name)).items()
        for value in allowed
        if isinstance(value, str)
    }
    return [(name, text) for name, texts in values.items() for text in texts if (name, text) not in opened]


def _texts(name: str, parameter: object, outcome: Outcome) -> list[str]:
    """Return the texts that a key can be; of a journal that does not tell them, those that it was."""
    listed: Sequence[Any] | None = parameter.get("values") if isinstance(parameter, Mapping) else None
    if not isinstance(listed, list | tuple):
        listed = [trial.hyperparameters.get(name) for trial in outcome.sweep.trials]
    return list(dict.fromkeys(value for value in listed if isinstance(value, str)))


def _conditions(parameter: object) -> Mapping[str, Sequence[Any]]:
    when = parameter.get("when") if isinstance(parameter, Mapping) else None
    if not isinstance(when, Mapping):
        return {}
    return {key: allowed for key, allowed in when.items() if isinstance(allowed, list | tuple)}


def _labels(choices: Sequence[_Choice]) -> dict[_Choice, str]:
    values = [value for _, value in choices]
    return {
        (name, value): f"{name} {value}" if value in _SAYS_NOTHING or values.count(value) > 1 else config_value(value)
        for name, value in choices
    }


def _dominated(losses_NM: NDArray[np.float64]) -> NDArray[np.bool_]:
    better_NNM = losses_NM[:, None, :] - losses_NM[None, :, :]
    return np.asarray((better_NNM >= 0).all(axis=2) & (better_NNM > 0).any(axis=2))


def _line(
    choice: _Choice,
    labels: Mapping[_Choice, str],
    places: Mapping[_Choice, list[int]],
    outcome: Outcome,
    uncertainty: Uncertainty,
    beaten: _Beaten,
) -> ChoiceLine:
    own = places[choice]
    ids = [outcome.compared[place].trial_id for place in own]
    on_front = [outcome.compared[place].trial_id for place in own if outcome.on_front[place]]
    perhaps = [place for place in own if uncertainty.may_be_on_front[place]]
    rivals = {labels[other]: places[other] for other in labels if other != choice and not set(places[other]) & set(own)}
    by = () if on_front or not own else tuple(_beaten_by(own, rivals, beaten.surely if not perhaps else beaten.by))
    return ChoiceLine(
        label=labels[choice],
        hyperparameter=choice[0],
        value=choice[1],
        trials=tuple(ids),
        on_front=tuple(on_front),
        beaten_by=by,
        is_beyond_noise=bool(own) and not perhaps,
        text=_text(choice, own, on_front, perhaps, by, outcome, uncertainty),
    )


def _beaten_by(own: Sequence[int], rivals: Mapping[str, list[int]], beaten: NDArray[np.bool_]) -> Iterator[str]:
    """Yield the choice that beats every trial, or else those that beat one each."""
    each = {label: beaten[np.ix_(own, places)].any(axis=1) for label, places in rivals.items() if places}
    for label, trials in each.items():
        if trials.all():
            yield label
            return
    yield from (label for label, trials in each.items() if trials.any())


def _text(
    choice: _Choice,
    own: Sequence[int],
    on_front: Sequence[str],
    perhaps: Sequence[int],
    by: Sequence[str],
    outcome: Outcome,
    uncertainty: Uncertainty,
) -> str:
    if not own:
        return _why_none([t for t in outcome.sweep.trials if t.hyperparameters.get(choice[0]) == choice[1]])
    if on_front:
        return f"on the front ({_some(on_front)})"
    if not any(outcome.feasible[place] for place in own):
        return "over a constraint, with every trial"
    by_whom = f"beaten by {joined(list(by))}" if by else "not on the front by its own figures"
    if not perhaps:
        in_all = " in every objective" if by else ""
        sources = {noise.source for noise in uncertainty.noises}
        partly = ", beyond noise where it is known" if sources - {EXACT, NOT_KNOWN} else ""
        beyond = partly if NOT_KNOWN in sources else ", beyond noise"
        return f"{by_whom}{in_all}{beyond}"
    likeliest = max(perhaps, key=lambda place: float(uncertainty.front_probability[place]))
    chance = float(uncertainty.front_probability[likeliest])
    trial = outcome.compared[likeliest].trial_id
    return f"{by_whom}, but within noise it may be on the front ({trial}, with probability {chance:.2f})"


def _why_none(trials: Sequence[Trial]) -> str:
    if not trials:
        return "not tried"
    ends = [f"{sum(t.status == status for t in trials)} {status}" for status in dict.fromkeys(t.status for t in trials)]
    return f"no result to compare ({counted(len(trials), 'trial')}: {joined(ends)})"


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _MAX_NAMED} more" if len(ids) > _MAX_NAMED else ""
    return f"{', '.join(ids[:_MAX_NAMED])}{more}"
