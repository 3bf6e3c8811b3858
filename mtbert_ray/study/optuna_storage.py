"""Writes a sweep into an Optuna storage, for Optuna Dashboard and Optuna's own analyses.

Trials are added as they end, so a sweep may be written again while it runs: what is there already is left as it is.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState
from pydantic import TypeAdapter, ValidationError

from mtbert_ray.errors import UserError
from mtbert_ray.events import Scalar, as_scalar
from mtbert_ray.metrics import Objectives
from mtbert_ray.pareto.objectives import loss_of, to_losses
from mtbert_ray.study.search.optuna_samplers import quiet
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange, Parameter
from mtbert_ray.trial import Sweep, Trial

_STARTED = "sweep_started"
"""Attribute of a study: when its sweep started, by which it is known again."""
_TRIAL_ID = "trial_id"
_PARAMETER: TypeAdapter[Parameter] = TypeAdapter(Parameter)


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of a sweep's trials."""

    study_name: str
    added: int
    already_there: int
    left_out: int
    """Running, or interrupted so that they may run again."""


def write_to_optuna(sweep: Sweep, url: str, *, study_name: str | None = None) -> Written:
    """Write a sweep's trials into the study of its name in an Optuna storage, which is made if it is not there.

    Objectives keep their directions and names. As Optuna's states have it, a finished trial is complete, one that was
    stopped early is pruned, and one that failed or has no value for an objective failed. Intermediate values are those
    of the first objective by epoch; constraints are named after their objectives, in the metric's unit. All metrics and
    the reason of an early end are the trial's attributes.

    Raises:
        UserError: the storage cannot be opened or written; or its study of that name is not of this sweep.
    """
    name = study_name or sweep.started.name
    objectives = sweep.started.objectives
    if not objectives:
        raise UserError(f"{name}: a sweep without objectives is no Optuna study")
    with quiet(), _storage_errors(url):
        study = _study(sweep, url, name)
        there = {trial.user_attrs.get(_TRIAL_ID) for trial in study.get_trials(deepcopy=False)}
        distributions = _distributions(sweep)
        ended = [trial for trial in sweep.trials if not trial.is_interrupted]
        new = [trial for trial in ended if trial.trial_id not in there]
        for trial in new:
            study.add_trial(_as_optunas(trial, objectives, distributions))
    return Written(
        study_name=name,
        added=len(new),
        already_there=len(ended) - len(new),
        left_out=len(sweep.trials) - len(ended),
    )


def _study(sweep: Sweep, url: str, name: str) -> optuna.Study:
    """Return the study of the sweep; one that is not of it is a UserError."""
    objectives = sweep.started.objectives
    directions = [objective.direction for objective in objectives.values()]
    if name in optuna.get_all_study_names(url):
        study = optuna.load_study(study_name=name, storage=url)
        started = study.user_attrs.get(_STARTED)
        # A study without trials may be one that a killed process had just made.
        is_ours = started == sweep.started.time or (started is None and not study.get_trials(deepcopy=False))
        if not is_ours or [direction.name.lower() for direction in study.directions] != directions:
            raise UserError(
                f"{_shown(url)}: its study '{name}' is not of this sweep; give another name with --study, or delete it"
            )
    else:
        study = optuna.create_study(storage=url, study_name=name, directions=directions)
    study.set_metric_names(list(objectives))
    if question := sweep.started.space.get("question"):
        study.set_user_attr("question", question)
    study.set_user_attr(_STARTED, sweep.started.time)
    return study


def _as_optunas(trial: Trial, objectives: Objectives, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    state, values = _state(trial, objectives)
    first = next(iter(objectives))
    metrics = trial.metrics
    attributes = {_TRIAL_ID: trial.trial_id, **metrics}
    if trial.reason is not None:
        attributes["reason"] = trial.reason
    params = {name: as_scalar(value) for name, value in trial.hyperparameters.items() if name in distributions}
    frozen = optuna.trial.create_trial(
        state=state,
        values=values,
        params=params,
        distributions={name: distributions[name] for name in params},
        user_attrs=attributes,
        intermediate_values={
            trial.epoch_at(place): float(value)
            for place, epoch in enumerate(trial.epochs)
            if (value := epoch.get(first)) is not None
        },
        constraints=_constraints(metrics, objectives) if state is TrialState.COMPLETE else None,
    )
    frozen.datetime_start = datetime.fromtimestamp(trial.started)
    frozen.datetime_complete = datetime.fromtimestamp(trial.started if trial.ended is None else trial.ended)
    return frozen


def _state(trial: Trial, objectives: Objectives) -> tuple[TrialState, list[float] | None]:
    if trial.status == "stopped":
        return TrialState.PRUNED, None
    if trial.status == "finished" and to_losses(trial.metrics, objectives) is not None:
        return TrialState.COMPLETE, [float(trial.metrics[name] or 0.0) for name in objectives]
    return TrialState.FAIL, None


def _constraints(metrics: Mapping[str, Any], objectives: Objectives) -> dict[str, float]:
    """Return by how much a trial is over each constraint, in the metric's unit; not above 0 where it is met."""
    return {
        name: loss_of(metrics[name], objective.direction) - loss_of(objective.constraint, objective.direction)
        for name, objective in objectives.items()
        if objective.constraint is not None
    }


def _distributions(sweep: Sweep) -> dict[str, BaseDistribution]:
    """Return hyperparameter -> what it can be; for a space of another version, the values that trials have."""
    found = {}
    for name in sweep.started.hyperparameters:
        seen = [as_scalar(trial.hyperparameters[name]) for trial in sweep.trials if name in trial.hyperparameters]
        distribution = _distribution(sweep, name)
        if distribution is None or not all(_holds(distribution, value) for value in seen):
            distribution = CategoricalDistribution(tuple(dict.fromkeys(seen))) if seen else None
        if distribution is not None:
            found[name] = distribution
    return found


def _distribution(sweep: Sweep, name: str) -> BaseDistribution | None:
    search = sweep.started.space.get("search")
    try:
        parameter = _PARAMETER.validate_python(search.get(name) if isinstance(search, Mapping) else None)
    except ValidationError:
        return None
    match parameter:
        case Choice(values=values):
            return CategoricalDistribution(tuple(dict.fromkeys(map(as_scalar, values))))
        case FloatRange(low=low, high=high, kind=kind):
            return FloatDistribution(low, high, log=kind == "loguniform")
        case IntRange(low=low, high=high, step=step, log=log):
            return IntDistribution(low, low + (high - low) // step * step, log=log, step=step)


def _holds(distribution: BaseDistribution, value: Scalar) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False


@contextmanager
def _storage_errors(url: str) -> Iterator[None]:
    """Turn what Optuna and its database library raise for a storage into a UserError without the URL's password."""
    from sqlalchemy.exc import SQLAlchemyError  # Optuna imports it for a storage too.

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError) as error:
        cause = error.__cause__ or error
        text = " ".join(str(getattr(cause, "orig", None) or cause).split())
        raise UserError(
            f"{_shown(url)}: the Optuna storage cannot be used: {text.replace(url, _shown(url))}. Give a database as "
            "SQLAlchemy names it, such as sqlite:///sweeps.db"
        ) from None


def _shown(url: str) -> str:
    """Return a database's URL without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url
