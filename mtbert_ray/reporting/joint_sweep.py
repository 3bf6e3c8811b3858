"""Several sweeps as one, for a report of them together: joint front, one reference, what differs between them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mtbert_ray.config import dotted
from mtbert_ray.errors import UserError
from mtbert_ray.metrics import Objective
from mtbert_ray.pareto.front import front_mask, hypervolume
from mtbert_ray.pareto.objectives import reference_losses
from mtbert_ray.reporting.facts import last_event_time, seconds_run
from mtbert_ray.reporting.outcome import Outcome, config_text, outcome_of
from mtbert_ray.reporting.style import PALETTE
from mtbert_ray.reporting.wording import config_value, counted, duration, joined, plain_name, quantity
from mtbert_ray.trial import Sweep

SWEEP = "sweep"
"""The hyperparameter that tells from which sweep a trial is; no config has its name."""
MAX_SWEEPS = len(PALETTE)
_NOT_RECORDED = "not recorded"
_MISSING = "none"


@dataclass(frozen=True, kw_only=True)
class SweepSummary:
    """One of the sweeps, beside the others."""

    name: str
    folder: str
    trials: str
    wall_time: str
    on_own_front: int
    on_joint_front: int
    best: tuple[str, ...]
    """One an objective: its best value among feasible trials."""
    hypervolume: str
    """Its value, and its share of what all sweeps together have."""


@dataclass(frozen=True, kw_only=True)
class JointMember:
    """A trial on the joint front."""

    sweep: str
    trial_id: str
    """In its own sweep."""
    values: tuple[str, ...]
    config: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that the sweeps were not asked alike, or did not run alike on."""

    key: str
    values: tuple[str, ...]
    """One a sweep."""


@dataclass(frozen=True, kw_only=True)
class JointSweep:
    """Several sweeps, compared by the objectives of the first."""

    outcome: Outcome
    """Of all trials together; their ids have the sweep's name in front, and `SWEEP` is their first hyperparameter."""
    summaries: tuple[SweepSummary, ...]
    objectives: tuple[str, ...]
    """As headings."""
    reference: str
    front: tuple[JointMember, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def join_sweeps(sweeps: Mapping[Path, Sweep]) -> JointSweep:
    """Join sweeps, given by their folders.

    The objectives, their constraints and the reference are those of the first sweep, without objectives of which
    another one has no value.

    Raises:
        UserError: they are too many, or no objective of the first has values in all.
    """
    if len(sweeps) > MAX_SWEEPS:
        raise UserError(f"a report of {len(sweeps)} sweeps would not tell them apart; give at most {MAX_SWEEPS}")
    named = dict(zip(_names(sweeps), sweeps.values(), strict=True))
    objectives = _common_objectives(named)
    outcome = outcome_of(_joint(named, objectives))
    return JointSweep(
        outcome=outcome,
        summaries=tuple(
            _summary(name, folder, sweep, outcome) for (name, sweep), folder in zip(named.items(), sweeps, strict=True)
        ),
        objectives=tuple(plain_name(name) for name in objectives),
        reference=joined([f"{plain_name(name)} {quantity(name, o.reference)}" for name, o in objectives.items()]),
        front=tuple(_members(outcome)),
        differences=tuple(_differences(list(named.values()))),
        notes=tuple(_notes(named, objectives)),
    )


def _names(sweeps: Mapping[Path, Sweep]) -> list[str]:
    """Return the shortest names that tell the sweeps apart: their own, their folders', or the whole paths."""
    own = [sweep.started.name for sweep in sweeps.values()]
    for names in (own, [folder.resolve().name for folder in sweeps]):
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in sweeps]


def _common_objectives(named: Mapping[str, Sweep]) -> dict[str, Objective]:
    first, *_ = named.values()
    found = {
        name: objective
        for name, objective in first.started.objectives.items()
        if all(_has_values(sweep, name) for sweep in named.values())
    }
    if not found:
        had = "; ".join(f"{name}: {', '.join(sweep.started.objectives) or 'none'}" for name, sweep in named.items())
        raise UserError(
            f"the sweeps cannot be compared: no objective of the first has values in finished trials of all ({had})"
        )
    return found


def _has_values(sweep: Sweep, metric: str) -> bool:
    return any(trial.status == "finished" and trial.metrics.get(metric) is not None for trial in sweep.trials)


def _joint(named: Mapping[str, Sweep], objectives: Mapping[str, Objective]) -> Sweep:
    first, *others = named.values()
    sweeps = [first, *others]
    names = [name for sweep in sweeps for name in sweep.started.hyperparameters]
    started = first.started.model_copy(
        update={
            "name": joined(list(named)),
            "space": {},
            "objectives": dict(objectives),
            "hyperparameters": tuple(dict.fromkeys([SWEEP, *names])),
            "tasks": tuple(dict.fromkeys(task for sweep in sweeps for task in sweep.started.tasks)),
        }
    )
    trials = [
        replace(trial, trial_id=_joint_id(name, trial.trial_id), hyperparameters={SWEEP: name, **trial.hyperparameters})
        for name, sweep in named.items()
        for trial in sweep.trials
    ]
    ends = [sweep.finished for sweep in sweeps]
    return Sweep(started=started, trials=trials, finished=None if None in ends else ends[-1])


def _joint_id(sweep: str, trial_id: str) -> str:
    return f"{sweep}/{trial_id}"


def _summary(name: str, folder: Path, sweep: Sweep, joint: Outcome) -> SweepSummary:
    own_N = np.array([trial.hyperparameters[SWEEP] == name for trial in joint.compared], dtype=np.bool_)
    own_NM = joint.losses[own_N & joint.feasible]
    reference_M = reference_losses(joint.objectives)
    volume, whole = hypervolume(own_NM, reference_M), hypervolume(joint.losses[joint.feasible], reference_M)
    share = f", {volume / whole:.1%} of all" if whole else ""
    finished = sum(trial.status == "finished" for trial in sweep.trials)
    best_M = own_NM.min(axis=0).tolist() if len(own_NM) else [math.nan] * len(joint.objectives)
    return SweepSummary(
        name=name,
        folder=str(folder),
        trials=f"{counted(len(sweep.trials), 'trial')}, {finished} finished",
        wall_time=duration(seconds_run(sweep, last_event_time(sweep))),
        on_own_front=int(front_mask(own_NM).sum()) if len(own_NM) else 0,
        on_joint_front=int((own_N & joint.on_front).sum()),
        best=tuple(
            _MISSING if math.isnan(loss) else quantity(metric, -loss if o.direction == "maximize" else loss)
            for (metric, o), loss in zip(joint.objectives.items(), best_M, strict=True)
        ),
        hypervolume=f"{volume:.4g}{share}",
    )


def _members(joint: Outcome) -> Iterator[JointMember]:
    for trial in joint.front:
        sweep = str(trial.hyperparameters[SWEEP])
        own = {name: value for name, value in trial.hyperparameters.items() if name != SWEEP}
        yield JointMember(
            sweep=sweep,
            trial_id=trial.trial_id.removeprefix(_joint_id(sweep, "")),
            values=tuple(quantity(name, trial.metrics[name]) for name in joint.objectives),
            config=config_text(replace(trial, hyperparameters=own), joint.sweep),
        )


def _differences(sweeps: Sequence[Sweep]) -> Iterator[Difference]:
    asked = [_asked(sweep) for sweep in sweeps]
    for key in dict.fromkeys(key for of_sweep in asked for key in of_sweep):
        values = tuple(
            of_sweep[key] if key in of_sweep else _in_trials(key, sweep)
            for of_sweep, sweep in zip(asked, sweeps, strict=True)
        )
        if len(set(values)) > 1:
            yield Difference(key=key, values=values)


def _in_trials(key: str, sweep: Sweep) -> str:
    """Return the value that a key has in the configs of a sweep which does not ask for it: a default."""
    config = dotted(sweep.trials[0].config) if sweep.trials else {}
    return _text(config[key]) if key in config else _NOT_RECORDED


def _asked(sweep: Sweep) -> dict[str, str]:
    """Return what a sweep was asked and ran on, dotted; a key that is fixed or searched stands under its own name."""
    started, space = sweep.started, sweep.started.space
    found: dict[str, Any] = {"tasks": ", ".join(started.tasks)}
    for key, value in space.items():
        if key not in ("name", "question", "objectives", "fixed", "search"):
            found |= dotted({key: value}) if isinstance(value, Mapping) else {key: value}
    found |= {f"objective {name}": _objective_text(name, objective) for name, objective in started.objectives.items()}
    found |= space.get("fixed") or {}
    searched = space.get("search")
    if isinstance(searched, Mapping):
        found |= {key: f"searched: {_parameter_text(parameter)}" for key, parameter in searched.items()}
    found |= {f"hardware: {key}": value for key, value in started.hardware.items()}
    found |= {f"version of {package}": version for package, version in started.versions.items()}
    found["git revision"] = started.git_revision or "not from a checkout"
    return {key: _text(value) for key, value in found.items()}


def _objective_text(name: str, objective: Objective) -> str:
    bound = "" if objective.constraint is None else f", constraint {quantity(name, objective.constraint)}"
    return f"{objective.direction}, reference {quantity(name, objective.reference)}{bound}"


def _parameter_text(parameter: object) -> str:
    """Return what a parameter can be, without what every one has: "loguniform, low 1e-05, high 0.001"."""
    if not isinstance(parameter, Mapping):
        return _text(parameter)
    parts = [
        _text(value) if key == "kind" else f"{key} {_text(value)}"
        for key, value in sorted(parameter.items(), key=lambda item: (item[0] != "kind", item[0] == "when"))
        if value not in ({}, None)
    ]
    return ", ".join(parts)


def _text(value: Any) -> str:  # noqa: ANN401  # any YAML
    """Return a value of a search space: lists without quotes, mappings as "adapter.kind: lora"."""
    match value:
        case Mapping():
            return "; ".join(f"{key}: {_text(part)}" for key, part in value.items()) or _MISSING
        case list() | tuple():
            return ", ".join(map(_text, value)) or _MISSING
        case None:
            return _MISSING
    return config_value(value)


def _notes(named: Mapping[str, Sweep], objectives: Mapping[str, Objective]) -> Iterator[str]:
    first, *others = named.values()
    if left_out := [plain_name(name) for name in first.started.objectives if name not in objectives]:
        yield f"Not compared, as a sweep has no finished trial with a value: {joined(left_out)}."
    if any(sweep.started.tasks != first.started.tasks for sweep in others):
        yield "The sweeps have different tasks, so their mean scores are not of the same thing."
    for name, objective in objectives.items():
        for other, sweep in list(named.items())[1:]:
            theirs = sweep.started.objectives.get(name)
            if theirs is not None and theirs.direction != objective.direction:
                yield f"{other} was to {theirs.direction} {plain_name(name)}; here it is to {objective.direction}."
    for name, sweep in named.items():
        if sweep.finished is None:
            yield f"{name} has no end yet: it is still running, or it was killed."
        for text in sweep.damage:
            yield f"The journal of {name} is damaged; what this line tells is not in this report: {text}."
