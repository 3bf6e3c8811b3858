"""The tables of trials: trials.csv, pareto.csv, and the page's table with rounded cells."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mtbert_ray.events import Scalar, as_scalar
from mtbert_ray.metrics import METRICS
from mtbert_ray.pareto.objectives import is_feasible
from mtbert_ray.reporting.failures import reason_of, status_of
from mtbert_ray.reporting.outcome import Outcome, kept_checkpoint, outcome_of
from mtbert_ray.reporting.wording import axis_label, number
from mtbert_ray.trial import Sweep, Trial

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
_DTYPES = {bool: "boolean", int: "Int64", float: "Float64", str: "string"}
_APPENDED = ("feasible", "best_epoch", "epochs_done", *(name for name in METRICS if name not in _COSTS))


def trial_table(sweep: Sweep) -> pd.DataFrame:
    """Return one row a trial, in the order in which they started; then one a rerun, which is never on the front.

    The columns are trial_id, status, the hyperparameters (dotted), the tasks' scores, `_COSTS`, on_front, `_APPENDED`,
    what else the trials reported, purpose (search, repeat or remeasure), of (the trial that a rerun repeats), reason
    and checkpoint. What was not measured, or does not apply, is NA and never 0. `feasible` is NA for trials that did
    not finish, `checkpoint` for those that have none or whose was deleted.

    Its CSV is read back without loss, where an id may look like a number and a hyperparameter like a gap, with
    `pd.read_csv(path, dtype={"trial_id": str}, keep_default_na=False, na_values=[""])`; pandas 2 also needs
    `float_precision="round_trip"` for the last digit.
    """
    outcome = outcome_of(sweep)
    rows = [_row(trial, outcome) for trial in sweep.all_trials]
    columns = _columns(sweep)
    return pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in columns}, columns=columns)


def front_table(table: pd.DataFrame, outcome: Outcome) -> pd.DataFrame:
    """Return the rows of a `trial_table` on the front, best first objective first, and whether each is the knee."""
    ids = [trial.trial_id for trial in outcome.front]
    table = table.set_index("trial_id", drop=False).loc[ids].reset_index(drop=True)
    table["knee"] = _column([outcome.knee is not None and trial_id == outcome.knee.trial_id for trial_id in ids])
    return table


def epoch_table(sweep: Sweep) -> pd.DataFrame:
    """Return one row an epoch, a trial's epochs together: trial_id, epoch, then every metric that a trial reported."""
    names = dict.fromkeys(name for trial in sweep.trials for epoch in trial.epochs for name in epoch)
    names.pop("epoch", None)
    table = {
        "trial_id": _column([trial.trial_id for trial in sweep.trials for _ in trial.epochs]),
        "epoch": _column([trial.epoch_at(place) for trial in sweep.trials for place in range(len(trial.epochs))]),
        **{name: _column([epoch.get(name) for trial in sweep.trials for epoch in trial.epochs]) for name in names},
    }
    return pd.DataFrame(table)


def _columns(sweep: Sweep) -> list[str]:
    started = sweep.started
    named = ("trial_id", "status", *started.hyperparameters, *started.tasks, *_COSTS, "on_front", *_APPENDED)
    reported = (name for trial in sweep.all_trials for name in trial.metrics if name != "epoch")
    # `dict.fromkeys` drops what is already there and keeps the order.
    return [*dict.fromkeys((*named, *reported)), "purpose", "of", "reason", "checkpoint"]


def _row(trial: Trial, outcome: Outcome) -> dict[str, Scalar]:
    metrics, sweep = trial.metrics, outcome.sweep
    return {
        **metrics,
        **{name: as_scalar(trial.hyperparameters.get(name)) for name in sweep.started.hyperparameters},
        "trial_id": trial.trial_id,
        "status": status_of(trial, sweep),
        "on_front": trial.trial_id in outcome.front_ids,
        "feasible": is_feasible(metrics, sweep.started.objectives) if trial.status == "finished" else None,
        "epochs_done": len(trial.epochs),
        "purpose": trial.purpose,
        "of": trial.of,
        "reason": reason_of(trial),
        "checkpoint": kept_checkpoint(trial, outcome),
    }


def _column(values: Iterable[Scalar]) -> "pd.Series[Any]":
    """Return a column of the narrowest type that holds it with its gaps, so that whole numbers stay whole."""
    # No column of whole numbers holds those of 64 bits and more.
    values = [float(value) if type(value) is int and abs(value) >= 2**63 else value for value in values]
    kinds = {type(value) for value in values if value is not None}
    dtype = _DTYPES.get(kinds.pop(), "object") if len(kinds) == 1 else "Float64" if kinds == {int, float} else "object"
    return pd.Series(values, dtype=dtype)


_SHOWN_ELSEWHERE = ("reason", "checkpoint")
"""Columns that the report shows in full below the table."""


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """The table of trials as text, without columns that are all gaps."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def text_table(table: pd.DataFrame, outcome: Outcome) -> TextTable:
    """Return a `trial_table` with rounded cells."""
    hyperparameters = set(outcome.sweep.started.hyperparameters)
    hidden = (*_SHOWN_ELSEWHERE, *(() if outcome.sweep.reruns else ("purpose",)))
    columns = [name for name in table.columns if name not in hidden and not table[name].isna().all()]
    values = table[columns].astype("object")
    records = values.where(values.notna(), None).to_numpy().tolist()
    return TextTable(
        headings=tuple(name if name in hyperparameters else axis_label(name) for name in columns),
        rows=tuple(
            tuple(_cell(name, value, name in hyperparameters) for name, value in zip(columns, record, strict=True))
            for record in records
        ),
    )


def _cell(name: str, value: Scalar, is_hyperparameter: bool) -> str:
    if is_hyperparameter and type(value) in (int, float):
        # A whole number may be no count: 30522 is not 30,522.
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    return number(name, value)
