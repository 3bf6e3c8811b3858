"""The rows of figures that have one a trial: which trials get one, in which order, and what stands beside it."""

import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from mtbert_ray.events import Scalar, as_scalar
from mtbert_ray.metrics import METRICS
from mtbert_ray.pareto.front import TradeOff, trade_offs
from mtbert_ray.pareto.objectives import is_feasible
from mtbert_ray.reporting.outcome import Outcome, config_text, label_of, outcome_of, reason_of, status_of
from mtbert_ray.reporting.style import EXPERIMENT, Groups
from mtbert_ray.reporting.wording import counted, difference, joined, quantity
from mtbert_ray.trial import Sweep, Trial

ROW_HEIGHT = 0.27
"""Inches."""
_MAX_ROWS = 20
_CHARACTER_WIDTH = 0.075
"""Inches of a character of a row's label."""


def with_rows(trials: Sequence[Trial], outcome: Outcome) -> list[Trial]:
    """Return the trials that get a row: all, or of more than 20 the front and the best of the rest by dev score."""
    if len(trials) <= _MAX_ROWS:
        return list(trials)
    on_front = {trial.trial_id for trial in outcome.front}
    ranked = sorted(trials, key=lambda trial: (trial.trial_id not in on_front, by_dev_score(trial)))
    kept = {trial.trial_id for trial in ranked[:_MAX_ROWS]}
    return [trial for trial in trials if trial.trial_id in kept]


def by_dev_score(trial: Trial) -> float:
    """Return what sorts trials, the best dev score first and those without one last."""
    score = trial.metrics.get("dev_score")
    return math.inf if score is None else -score


def row_order(trials: Sequence[Trial], groups: Groups, *, by: Callable[[Trial], float]) -> list[Trial]:
    """Return experiments in their order with their repetitions together, other trials by rising `by`."""
    return sorted(trials, key=groups.index_of if groups.hyperparameter == EXPERIMENT else by)


def name_rows(axes: Axes, trials: Sequence[Trial], outcome: Outcome) -> None:
    """Write the trials' labels on the y axis, the first at the top."""
    axes.set_yticks(range(len(trials)), [label_of(trial, outcome.sweep) for trial in trials], parse_math=False)
    axes.set_ylim(len(trials) - 0.4, -0.6)


def label_width(trials: Sequence[Trial], outcome: Outcome) -> float:
    """Return the inches that the longest label takes."""
    return _CHARACTER_WIDTH * max(len(label_of(trial, outcome.sweep)) for trial in trials)


def left_out(trials: Sequence[Trial], drawn: Sequence[Trial]) -> str:
    """Return the end of a caption: " ... 2 trials left out: t4, t7."; nothing when all are drawn."""
    ids = [trial.trial_id for trial in trials if trial not in drawn]
    if not ids:
        return ""
    return (
        f" The front and the trials with the best dev scores are drawn; {counted(len(ids), 'trial')} left out: "
        f"{', '.join(ids)}."
    )


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """One trial on the front, and what a reader needs to choose it."""

    trial_id: str
    setting: str
    values: tuple[str, ...]
    """One an objective, with units."""
    bargains: tuple[str, ...]
    """What it gives up and has for it, a sentence for each trial that is the best in some objective."""
    is_knee: bool
    train_command: str
    predict_command: str | None
    """None when the trial kept no checkpoint."""


def front_points(outcome: Outcome, folder: Path) -> tuple[FrontPoint, ...]:
    """Return the points of the front, the best in the first objective first.

    Args:
        outcome: the sweep's.
        folder: the sweep's folder as commands should name it.
    """
    bargains = trade_offs(outcome.front_losses) if outcome.front else []
    return tuple(
        FrontPoint(
            trial_id=trial.trial_id,
            setting=config_text(trial, outcome.sweep),
            values=values,
            bargains=_bargains(own, outcome) or ("nothing: it is the best in everything",),
            is_knee=trial is outcome.knee,
            train_command=_command("train", "--config", folder / "trials" / trial.trial_id / "config.yaml"),
            predict_command=_command("predict", folder / trial.checkpoint) if trial.checkpoint else None,
        )
        for trial, values, own in zip(outcome.front, front_values(outcome), bargains, strict=True)
    )


def front_values(outcome: Outcome) -> list[tuple[str, ...]]:
    """Return each front point's values, one an objective, with units."""
    return [tuple(quantity(name, trial.metrics[name]) for name in outcome.objectives) for trial in outcome.front]


def _bargains(trade_offs_of_point: Sequence[TradeOff], outcome: Outcome) -> tuple[str, ...]:
    """Say each trade once: a trial that is the best in several objectives stands in a TradeOff of each of them."""
    by_best = {trade_off.best: trade_off for trade_off in trade_offs_of_point}
    return tuple(_bargain(trade_off, outcome) for trade_off in by_best.values())


def _bargain(trade_off: TradeOff, outcome: Outcome) -> str:
    """Say one TradeOff: "0.012 less dev score than t3, for 1.90 GiB less peak memory"."""
    parts = [
        (difference(name, objective.direction, loss), loss)
        for (name, objective), loss in zip(outcome.objectives.items(), trade_off.differences, strict=True)
    ]
    given_up = joined([text for text, loss in parts if loss > 0])
    gained = joined([text for text, loss in parts if loss < 0])
    return f"{given_up} than {outcome.front[trade_off.best].trial_id}, for {gained}"


def _command(module: str, *arguments: str | Path) -> str:
    words = [argument.as_posix() if isinstance(argument, Path) else argument for argument in arguments]
    return shlex.join(["python", "-m", f"mtbert_ray.{module}", *words])


_COSTS = (
    "dev_score",
    "leaderboard_score",
    "peak_memory_gib",
    "gpu_utilization_mean",
    "gpu_utilization_peak",
    "energy_kj",
    "peak_rss_gib",
    "train_seconds",
    "gpu_seconds",
    "trainable_parameters",
    "trainable_percent",
)
_APPENDED = ("feasible", "best_epoch", "epochs_done", *(name for name in METRICS if name not in _COSTS))


def trial_table(sweep: Sweep) -> pd.DataFrame:
    """Return one row a trial, in the order in which they started.

    The columns are trial_id, status, one a hyperparameter (dotted), one a task's score, `_COSTS`, on_front; then
    feasible, best_epoch, epochs_done, the other metrics, whatever else the trials reported, reason and checkpoint.
    What was not measured, or does not apply, is NA and never 0. `feasible` is NA for trials that did not finish.

    Written as CSV it is read back without loss, where an id may look like a number and a setting like a gap, with
    `pd.read_csv(path, dtype={"trial_id": str}, keep_default_na=False, na_values=[""])`; pandas 2 also needs
    `float_precision="round_trip"` for the last digit.
    """
    front_ids = {trial.trial_id for trial in outcome_of(sweep).front}
    rows = [_row(trial, sweep, on_front=trial.trial_id in front_ids) for trial in sweep.trials]
    columns = _columns(sweep)
    return pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in columns}, columns=columns)


def front_table(sweep: Sweep) -> pd.DataFrame:
    """Return the rows of `trial_table` on the front, best first objective first, and whether each is the knee."""
    outcome = outcome_of(sweep)
    ids = [trial.trial_id for trial in outcome.front]
    table = trial_table(sweep).set_index("trial_id", drop=False).loc[ids].reset_index(drop=True)
    table["knee"] = _column([outcome.knee is not None and trial_id == outcome.knee.trial_id for trial_id in ids])
    return table


def _columns(sweep: Sweep) -> list[str]:
    started = sweep.started
    named = ("trial_id", "status", *started.hyperparameters, *started.tasks, *_COSTS, "on_front", *_APPENDED)
    reported = (name for trial in sweep.trials for name in trial.metrics if name != "epoch")
    # `dict.fromkeys` drops what is already there and keeps the order.
    return [*dict.fromkeys((*named, *reported)), "reason", "checkpoint"]


def _row(trial: Trial, sweep: Sweep, *, on_front: bool) -> dict[str, Scalar]:
    metrics = trial.metrics
    return {
        **metrics,
        **{name: as_scalar(trial.hyperparameters.get(name)) for name in sweep.started.hyperparameters},
        "trial_id": trial.trial_id,
        "status": status_of(trial, sweep),
        "on_front": on_front,
        "feasible": is_feasible(metrics, sweep.started.objectives) if trial.status == "finished" else None,
        "epochs_done": len(trial.epochs),
        "reason": reason_of(trial),
        "checkpoint": trial.checkpoint,
    }


def _column(values: Iterable[Scalar]) -> "pd.Series[Any]":
    """Give a column the narrowest type that holds it with its gaps: whole numbers stay whole beside an empty cell."""
    values = list(values)
    kinds = {type(value) for value in values if value is not None}
    dtype = "object"
    if kinds == {bool}:
        dtype = "boolean"
    elif kinds == {int}:
        dtype = "Int64"
    elif kinds and kinds <= {int, float}:
        dtype = "Float64"
    elif kinds == {str}:
        dtype = "string"
    return pd.Series(values, dtype=dtype)
