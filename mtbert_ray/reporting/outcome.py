"""The outcome of a sweep, for tables, figures and pages: the compared and the feasible trials, the front, the knee."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.metrics import Objectives
from mtbert_ray.pareto.comparison import compare
from mtbert_ray.pareto.knee import knee
from mtbert_ray.reporting.wording import config_value
from mtbert_ray.trial import Sweep, Trial

_LABEL_LENGTH = 48

# N compared trials, M objectives; the fields of Outcome are (N, M), (N,), (N,)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A sweep with the front of its finished trials."""

    sweep: Sweep
    compared: tuple[Trial, ...]
    """Finished trials with a finite value for every objective, in the order in which they ended."""
    losses: NDArray[np.float64]
    """Their losses, one row a trial, one column an objective."""
    feasible: NDArray[np.bool_]
    """Which of them meet every constraint."""
    on_front: NDArray[np.bool_]
    """Which feasible ones no other feasible one dominates."""
    front: tuple[Trial, ...]
    """The trials on the front, the best in the first objective first."""
    front_losses: NDArray[np.float64]
    """Their losses, one row a trial."""
    knee: Trial | None
    """Where the front bends, by its figures as they are; none where it does not."""

    @property
    def objectives(self) -> Objectives:
        """Metric name -> objective, in the order of the axes."""
        return self.sweep.started.objectives

    @cached_property
    def front_ids(self) -> frozenset[str]:
        """The ids of the trials on the front."""
        return frozenset(trial.trial_id for trial in self.front)

    @property
    def pick(self) -> Trial | None:
        """The knee, or else the best in the first objective; none without a front."""
        return self.knee or next(iter(self.front), None)


def outcome_of(sweep: Sweep) -> Outcome:
    """Return the outcome of a sweep, which may still be running."""
    found = compare(sweep.trials, sweep.started.objectives)
    front, front_losses = found.front, found.losses[found.order]
    bend = knee(front_losses) if front else None
    return Outcome(
        sweep=sweep,
        compared=found.compared,
        losses=found.losses,
        feasible=found.feasible,
        on_front=found.on_front,
        front=front,
        front_losses=front_losses,
        knee=None if bend is None else front[bend],
    )


def keeps_checkpoint(trial: Trial, outcome: Outcome) -> bool:
    """Return whether `keep_checkpoints` of the search space lets a trial's checkpoint stay.

    That of a trial which runs, or will run again, stays. A journal of an earlier version keeps all. Of reruns `all`
    keeps those of repeats; a remeasurement leaves none of use.
    """
    if trial.is_rerun and not trial.is_interrupted:
        return trial.purpose == "repeat" and outcome.sweep.started.space.get("keep_checkpoints") not in (
            "front",
            "best",
        )
    match outcome.sweep.started.space.get("keep_checkpoints"):
        case "front":
            members = outcome.front
        case "best":
            members = outcome.front[:1]
        case _:
            return True
    return trial.is_interrupted or any(trial is member for member in members)


def kept_checkpoint(trial: Trial, outcome: Outcome) -> str | None:
    """Return the folder of a trial's checkpoint below the sweep's; none where it has none, or it was deleted."""
    return trial.checkpoint if keeps_checkpoint(trial, outcome) else None


def config_text(trial: Trial, sweep: Sweep) -> str:
    """Return a trial's hyperparameters in the order of the search space: "adapter.kind lora, batch_size 16"."""
    searched = [name for name in sweep.started.hyperparameters if name in trial.hyperparameters]
    return ", ".join(f"{name} {config_value(trial.hyperparameters[name])}" for name in searched) or "the defaults"


def labels_of(trials: Iterable[Trial], sweep: Sweep) -> list[str]:
    """Return trials' labels in figures: experiment, or id, with the hyperparameters that vary; cut where long.

    Of an experiment with several trials these are those that vary between them, such as the seed.
    """
    alike: dict[object, list[Trial]] = {}
    for trial in sweep.trials:
        alike.setdefault(trial.config.get("experiment"), []).append(trial)
    varying = {
        experiment: [
            name
            for name in sweep.started.hyperparameters
            if len({str(trial.hyperparameters.get(name)) for trial in members}) > 1
        ]
        for experiment, members in alike.items()
    }
    labels = []
    for trial in trials:
        experiment = trial.config.get("experiment")
        text = _label(trial, varying[experiment], is_alone=len(alike[experiment]) == 1)
        labels.append(text if len(text) <= _LABEL_LENGTH else f"{text[: _LABEL_LENGTH - 1]}…")
    return labels


def _label(trial: Trial, varying: list[str], *, is_alone: bool) -> str:
    varied = [
        f"{name.rpartition('.')[2]} {_short(trial.hyperparameters[name])}"
        for name in varying
        if name in trial.hyperparameters
    ]
    experiment = trial.config.get("experiment")
    if experiment is None:
        return f"{trial.trial_id}: {', '.join(varied)}" if varied else trial.trial_id
    return str(experiment) if is_alone else f"{experiment}, {', '.join(varied) or trial.trial_id}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else config_value(value)
