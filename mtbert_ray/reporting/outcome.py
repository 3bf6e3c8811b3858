"""The outcome of a sweep, for tables, figures and pages: the compared and the feasible trials, the front, the knee."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.metrics import Objectives
from mtbert_ray.pareto.front import front_mask
from mtbert_ray.pareto.knee import knee
from mtbert_ray.pareto.objectives import is_feasible, to_losses
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

    @property
    def pick(self) -> Trial | None:
        """The knee, or else the best in the first objective; none without a front."""
        return self.knee or next(iter(self.front), None)


def outcome_of(sweep: Sweep) -> Outcome:
    """Return the outcome of a sweep, which may still be running."""
    objectives = sweep.started.objectives
    finished = sorted((trial for trial in sweep.trials if trial.status == "finished"), key=lambda t: t.ended or 0.0)
    measured = [
        (trial, losses)
        for trial in finished
        if objectives and (losses := to_losses(trial.metrics, objectives)) is not None
    ]
    compared = tuple(trial for trial, _ in measured)
    losses_NM = np.array([losses for _, losses in measured], dtype=np.float64).reshape(len(compared), len(objectives))
    feasible_N = np.array([is_feasible(trial.metrics, objectives) for trial in compared], dtype=np.bool_)
    on_front_N = np.zeros(len(compared), dtype=np.bool_)
    if feasible_N.any():
        on_front_N[feasible_N] = front_mask(losses_NM[feasible_N])
    members = np.flatnonzero(on_front_N)
    order = members[np.lexsort(losses_NM[members].T[::-1])] if len(members) else members
    front_losses = losses_NM[order]
    bend = knee(front_losses) if len(order) else None
    return Outcome(
        sweep=sweep,
        compared=compared,
        losses=losses_NM,
        feasible=feasible_N,
        on_front=on_front_N,
        front=tuple(compared[index] for index in order),
        front_losses=front_losses,
        knee=None if bend is None else compared[order[bend]],
    )


def keeps_checkpoint(trial: Trial, outcome: Outcome) -> bool:
    """Return whether `keep_checkpoints` of the search space lets a trial's checkpoint stay.

    That of a trial which runs, or will run again, stays. A journal of an earlier version keeps all.
    """
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


def label_of(trial: Trial, sweep: Sweep) -> str:
    """Return a trial's label in figures: its experiment, or its id, with the hyperparameters that vary; cut where long.

    Of an experiment with several trials these are those that vary between them, such as the seed.
    """
    experiment = trial.config.get("experiment")
    alike = [other for other in sweep.trials if other.config.get("experiment") == experiment]
    varied = [
        f"{name.rpartition('.')[2]} {_short(trial.hyperparameters[name])}"
        for name in sweep.started.hyperparameters
        if name in trial.hyperparameters and len({str(t.hyperparameters.get(name)) for t in alike}) > 1
    ]
    if experiment is None:
        text = f"{trial.trial_id}: {', '.join(varied)}" if varied else trial.trial_id
    elif len(alike) == 1:
        text = str(experiment)
    else:
        text = f"{experiment}, {', '.join(varied) or trial.trial_id}"
    return text if len(text) <= _LABEL_LENGTH else f"{text[: _LABEL_LENGTH - 1]}…"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else config_value(value)
