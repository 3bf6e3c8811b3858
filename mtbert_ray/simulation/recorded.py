"""The finished trials of journals with their learning curves, for simulation."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.errors import ConfigError, JournalError
from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Metric, Objective, Objectives, known_metrics
from mtbert_ray.pareto.front import hypervolume
from mtbert_ray.pareto.objectives import is_feasible, reference_losses, to_losses
from mtbert_ray.simulation.clock import Curve
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.read_back import read_space
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.trial import Sweep, Trial

_SECONDS = ("train_seconds", "eval_seconds")
"""Cumulative; their sum is the time of a trial."""


@dataclass(frozen=True, kw_only=True)
class RecordedTrial:
    """A finished trial."""

    values: dict[str, Any]
    """Of its searched keys."""
    config: dict[str, Any]
    curve: Curve


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The trials of one or more sweeps that can be simulated."""

    trials: tuple[RecordedTrial, ...]
    """Sweep after sweep, in the order in which they started."""
    objectives: dict[str, Objective]
    space: SearchSpace | str
    """What was searched; or why no searcher can be asked."""
    metrics: dict[str, Metric]
    """Known metrics, the scores of the trials' tasks included."""
    pruned_as: SearchSpace | None
    """The search space of the first sweep, with its pruner's config; None where this version cannot read it."""
    left_out: dict[str, int]
    """Reason -> number of trials that cannot be simulated."""
    notes: tuple[str, ...]
    """For the reader of a comparison."""

    @property
    def total_seconds(self) -> float:
        """Of one worker for all trials."""
        return sum(float(trial.curve.seconds[-1]) for trial in self.trials)

    @property
    def mean_seconds(self) -> float:
        """Of a full run: the unit of budgets."""
        return self.total_seconds / len(self.trials)

    @property
    def max_epochs(self) -> int:
        """Of the longest trial."""
        return max(trial.curve.epoch_at(-1) for trial in self.trials)

    @property
    def total_epochs(self) -> int:
        """Of all trials."""
        return sum(trial.curve.epoch_at(-1) for trial in self.trials)

    @cached_property
    def total_volume(self) -> float:
        """The hypervolume of all trials, in the product of the objectives' units."""
        feasible = [trial.curve.losses for trial in self.trials if trial.curve.is_feasible]
        return hypervolume(np.array(feasible), reference_losses(self.objectives))

    def volume(self, losses_NM: NDArray[np.float64]) -> float:
        """Return a hypervolume as a share of that of all trials."""
        return hypervolume(losses_NM, reference_losses(self.objectives)) / self.total_volume


def read_recorded(folders: Sequence[Path]) -> Recorded:
    """Read the folders of one or more sweeps with the same objectives.

    Raises:
        JournalError: a journal cannot be read or is given twice, the objectives differ, or no trial can be simulated.
    """
    sweeps = _read_all(folders)
    objectives = _shared_objectives(folders, sweeps)
    trials, left_out = [], Counter[str]()
    for sweep in sweeps:
        for trial in sweep.trials:
            reason = _unusable(trial, objectives)
            if reason is not None:
                left_out[reason] += 1
                continue
            curve = _curve(trial, objectives)
            trials.append(RecordedTrial(values=trial.hyperparameters, config=trial.config, curve=curve))
    where = ", ".join(map(str, folders))
    if not trials:
        raise JournalError(
            f"{where}: no trial can be replayed ({in_words(left_out) or 'there is none'}): it takes trials that ran to "
            "their end and have a value for every objective. Give a sweep with scheduler fifo"
        )
    recorded = Recorded(
        trials=tuple(trials),
        objectives=objectives,
        space=_shared_space(folders, sweeps, objectives),
        metrics=known_metrics(_tasks(sweeps)),
        pruned_as=_space_of(sweeps[0]),
        left_out=dict(left_out),
        notes=_notes(sweeps, trials),
    )
    if recorded.total_volume <= 0:
        raise JournalError(
            f"{where}: no trial that ran to its end meets the constraints and is better than the reference in every "
            f"objective ({_described(objectives)}), so there is no hypervolume to compare"
        )
    return recorded


def in_words(left_out: Mapping[str, int]) -> str:
    """Return how many trials were left out and why: `2 stopped early, 1 failed`."""
    return ", ".join(f"{number} {reason}" for reason, number in left_out.items())


def _read_all(folders: Sequence[Path]) -> list[Sweep]:
    sweeps, problems = [], []
    for place, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:place]]:
            problems.append(f"{folder}: given twice; its trials would count twice")
            continue
        try:
            sweeps.append(read_journal(folder))
        except JournalError as error:
            problems.append(str(error))
    if problems:
        raise JournalError("\n".join(problems))
    return sweeps


def _shared_objectives(folders: Sequence[Path], sweeps: Sequence[Sweep]) -> dict[str, Objective]:
    first = sweeps[0].started.objectives
    if not first:
        raise JournalError(f"{folders[0]}: the sweep had no objectives, so there is no hypervolume to compare")
    problems = [
        f"{folder}: its objectives are {_described(sweep.started.objectives)}; those of {folders[0]} are "
        f"{_described(first)}. Only sweeps with the same objectives, references and constraints can be replayed "
        "together"
        for folder, sweep in zip(folders, sweeps, strict=True)
        if _described(sweep.started.objectives) != _described(first)
    ]
    if problems:
        raise JournalError("\n".join(problems))
    return first


def _described(objectives: Objectives) -> str:
    """Return the objectives in words, sorted by name."""
    return ", ".join(
        f"{name} ({o.direction}, reference {o.reference:g}"
        + (f", constraint {o.constraint:g})" if o.constraint is not None else ")")
        for name, o in sorted(objectives.items())
    )


def _unusable(trial: Trial, objectives: Objectives) -> str | None:
    """Return why a trial cannot be simulated, or None."""
    if trial.status != "finished":
        return {"stopped": "stopped early", "running": "cut off"}.get(trial.status, trial.status_in_words)
    if len(trial.epochs) != trial.config["epochs"]:
        return "without some of its epochs"
    seconds = [metrics.get(name) for metrics in trial.epochs for name in _SECONDS]
    if any(value is None or not math.isfinite(value) for value in seconds):
        return f"without {' or '.join(_SECONDS)}"
    if to_losses(trial.metrics, objectives) is None:
        return "without a value for every objective"
    return None


def _curve(trial: Trial, objectives: Objectives) -> Curve:
    losses = to_losses(trial.metrics, objectives)
    assert losses is not None, "others are left out"
    seconds = [sum(metrics[name] or 0.0 for name in _SECONDS) for metrics in trial.epochs]
    return Curve(
        metrics=trial.epochs,
        seconds=np.maximum.accumulate(np.array(seconds, dtype=np.float64)),
        losses=losses,
        is_feasible=is_feasible(trial.metrics, objectives),
    )


def _shared_space(
    folders: Sequence[Path], sweeps: Sequence[Sweep], objectives: dict[str, Objective]
) -> SearchSpace | str:
    """Return the search space of all sweeps, or why there is none."""
    spaces = []
    for folder, sweep in zip(folders, sweeps, strict=True):
        space = _space_of(sweep)
        if space is None:
            return f"the search space in {folder}/journal.jsonl is not one of this version"
        spaces.append(space)
    first = spaces[0]
    for folder, space in zip(folders, spaces, strict=True):
        if space.search != first.search or space.experiments != first.experiments:
            return f"{folder} and {folders[0]} searched different spaces"
    if not first.search:
        return f"{folders[0]} searched nothing"
    return first.model_copy(update={"objectives": objectives})


def _space_of(sweep: Sweep) -> SearchSpace | None:
    """Return a sweep's search space, or None where this version cannot read it."""
    try:
        return read_space(sweep.started.space, sweep.started.name)
    except ConfigError:
        return None


def _tasks(sweeps: Sequence[Sweep]) -> list[TaskSpec]:
    tasks = {task["name"]: task for sweep in sweeps for trial in sweep.trials for task in trial.config["tasks"]}
    return [TaskSpec.model_validate(task) for task in tasks.values()]


def _notes(sweeps: Sequence[Sweep], trials: Sequence[RecordedTrial]) -> tuple[str, ...]:
    notes = []
    fixed = [sweep.started.space.get("fixed") or {} for sweep in sweeps]
    differing = sorted({key for other in fixed for key in (*fixed[0], *other) if other.get(key) != fixed[0].get(key)})
    if differing:
        notes.append(f"The sweeps differ in what was fixed, so their trials may not compare: {', '.join(differing)}.")
    if all(trial.curve.epoch_at(-1) == 1 for trial in trials):
        notes.append("Every trial has one epoch, so no pruner can stop any.")
    return tuple(notes)
