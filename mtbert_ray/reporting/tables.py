"""A sweep as tables: one row a trial, one column a setting, a score or a cost. Knows nothing of pages and figures."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from mtbert_ray.metrics import METRICS
from mtbert_ray.pareto.objectives import is_feasible
from mtbert_ray.records import Scalar, SweepRecord, TrialRecord, as_scalar
from mtbert_ray.reporting.outcome import outcome_of, reason_of, status_of

_COSTS = (
    "dev_score",
    "leaderboard_score",
    "peak_memory_gib",
    "gpu_utilisation_mean",
    "gpu_utilisation_peak",
    "energy_kj",
    "peak_rss_gib",
    "train_seconds",
    "gpu_seconds",
    "trainable_parameters",
    "trainable_percent",
)
_APPENDED = ("feasible", "best_epoch", "epochs_done", *(name for name in METRICS if name not in _COSTS))


def trial_table(sweep: SweepRecord) -> pd.DataFrame:
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


def front_table(sweep: SweepRecord) -> pd.DataFrame:
    """Return the rows of `trial_table` on the front, best first objective first, and whether each is the knee."""
    outcome = outcome_of(sweep)
    ids = [trial.trial_id for trial in outcome.front]
    table = trial_table(sweep).set_index("trial_id", drop=False).loc[ids].reset_index(drop=True)
    table["knee"] = _column([outcome.knee is not None and trial_id == outcome.knee.trial_id for trial_id in ids])
    return table


def _columns(sweep: SweepRecord) -> list[str]:
    started = sweep.started
    named = ("trial_id", "status", *started.hyperparameters, *started.tasks, *_COSTS, "on_front", *_APPENDED)
    reported = (name for trial in sweep.trials for name in trial.metrics if name != "epoch")
    # `dict.fromkeys` drops what is already there and keeps the order.
    return [*dict.fromkeys((*named, *reported)), "reason", "checkpoint"]


def _row(trial: TrialRecord, sweep: SweepRecord, *, on_front: bool) -> dict[str, Scalar]:
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
