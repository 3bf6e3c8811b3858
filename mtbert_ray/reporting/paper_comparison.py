"""The comparison of a sweep with one of the paper's tables (published.csv), experiment by experiment."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import pandas as pd

from mtbert_ray.events import Scalar
from mtbert_ray.reporting.config_diff import config_diff, published_config
from mtbert_ray.reporting.facts import sessions_of
from mtbert_ray.reporting.failures import status_of
from mtbert_ray.reporting.wording import cell, counted, joined, metric_heading
from mtbert_ray.trial import Sweep, Trial

_MIB_PER_GIB = 1024
_TEXTS = ("experiment", "config", "score_name", "hardware")
_SCORE_MEANINGS = {
    "dev_score": "the plain mean of the three scores",
    "leaderboard_score": "the mean of the three scores with (r + 1) / 2 for the correlation r",
}


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One row of one of the paper's tables; None where the paper has no number."""

    table: int
    experiment: str
    """Its name, also in the search space of the table."""
    config: str
    """In words; published.yaml has the keys and values."""
    hardware: str | None
    """Where the paper names it for this row, or for the whole table."""
    score_name: Literal["leaderboard_score", "dev_score"]
    """The table's mean."""
    metrics: dict[str, float | None]
    """Our names -> the paper's numbers: the tasks' scores, the mean, train_seconds, peak_memory_gib (the paper's MB
    read as MiB), gpu_utilization_mean."""


@cache
def published_rows(table: int) -> tuple[PublishedRow, ...]:
    """Return the rows of one of the paper's tables, in its order; none for an unknown table."""
    with (files("mtbert_ray.reporting") / "published.csv").open(encoding="utf-8") as file:
        cells = pd.read_csv(file, dtype=dict.fromkeys(_TEXTS, "object"))
    cells = cells[cells["table"] == table].astype("object")
    return tuple(_published_row(row) for row in cells.where(cells.notna(), None).to_dict("records"))


def _published_row(row: dict[Any, Any]) -> PublishedRow:
    memory_mb = row.pop("peak_memory_mb")
    metrics = {name: row.pop(name) for name in ("sst", "quora", "sts")}
    metrics |= {row["score_name"]: row.pop("score"), "train_seconds": row.pop("train_seconds")}
    metrics["peak_memory_gib"] = None if memory_mb is None else memory_mb / _MIB_PER_GIB
    metrics["gpu_utilization_mean"] = row.pop("gpu_utilization_mean")
    return PublishedRow(**row, metrics=metrics)


@dataclass(frozen=True, kw_only=True)
class QuantityComparison:
    """One quantity of one experiment: the paper's number and ours."""

    metric: str
    paper: float | None
    ours: tuple[float, ...]
    """One a finished trial that measured it."""
    trials: int
    """Finished ones."""

    @property
    def mean(self) -> float | None:
        """Of ours."""
        return sum(self.ours) / len(self.ours) if self.ours else None

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's."""
        return None if self.paper is None or self.mean is None else self.mean - self.paper

    @property
    def paper_text(self) -> str:
        """The paper's number."""
        return "none given" if self.paper is None else cell(self.metric, self.paper)

    @property
    def ours_text(self) -> str:
        """The mean of ours."""
        return "not measured" if self.mean is None else cell(self.metric, self.mean)

    @property
    def range_text(self) -> str:
        """The range of several trials, and how many of them measured it; nothing for one trial."""
        if self.trials < 2 or not self.ours:
            return ""
        ends = f"{cell(self.metric, min(self.ours))} to {cell(self.metric, max(self.ours))}"
        return ends if len(self.ours) == self.trials else f"{ends}, {len(self.ours)} of {self.trials} trials"

    @property
    def difference_text(self) -> str:
        """The difference with its sign, or nothing."""
        if self.difference is None:
            return ""
        return f"{'-' if self.difference < 0 else '+'}{cell(self.metric, abs(self.difference))}"


@dataclass(frozen=True, kw_only=True)
class ExperimentComparison:
    """One experiment of the table."""

    published: PublishedRow
    trial_ids: tuple[str, ...]
    """Its finished trials."""
    state: str
    """The number of finished trials, or why there are none: "not run", "no finished trial: failed"."""
    quantities: tuple[QuantityComparison, ...]
    differences: tuple[str, ...]
    """The config diff of our trials."""


@dataclass(frozen=True, kw_only=True)
class PaperComparison:
    """A sweep and one of the paper's tables."""

    table: int
    headings: tuple[str, ...]
    experiments: tuple[ExperimentComparison, ...]
    notes: tuple[str, ...]
    """How the runs differ, and what the numbers mean."""


def compare_with_paper(sweep: Sweep) -> PaperComparison | None:
    """Return the comparison with the paper's table that the search space names; None where it names none."""
    table = sweep.started.space.get("paper_table")
    rows = published_rows(table) if isinstance(table, int) else ()
    if not rows:
        return None
    # All quantities that some row of the table has, so that the rows have the same columns.
    metrics = [name for name in rows[0].metrics if any(row.metrics.get(name) is not None for row in rows)]
    experiments = tuple(_experiment(row, metrics, sweep) for row in rows)
    return PaperComparison(
        table=rows[0].table,
        headings=tuple(metric_heading(name) for name in metrics),
        experiments=experiments,
        notes=(*_difference_notes(experiments, sweep), *_metric_notes(rows, metrics)),
    )


def comparison_table(comparison: PaperComparison) -> pd.DataFrame:
    """Return one row an experiment: for each quantity the paper's number, the mean and range of ours, the difference.

    What the paper does not give, or was not run or measured, is NA.
    """
    return pd.DataFrame([_table_row(experiment) for experiment in comparison.experiments])


def _table_row(experiment: ExperimentComparison) -> dict[str, object]:
    row = experiment.published
    cells: dict[str, object] = {
        "table": row.table,
        "experiment": row.experiment,
        "config": row.config,
        "state": experiment.state,
        "trials": " ".join(experiment.trial_ids),
    }
    for quantity in experiment.quantities:
        cells |= {
            f"{quantity.metric}_paper": quantity.paper,
            f"{quantity.metric}_ours": quantity.mean,
            f"{quantity.metric}_ours_lowest": min(quantity.ours, default=None),
            f"{quantity.metric}_ours_highest": max(quantity.ours, default=None),
            f"{quantity.metric}_difference": quantity.difference,
        }
    return {**cells, "paper_hardware": row.hardware, "config_diff": "; ".join(experiment.differences)}


def _experiment(row: PublishedRow, metrics: Sequence[str], sweep: Sweep) -> ExperimentComparison:
    trials = [trial for trial in sweep.trials if trial.config.get("experiment") == row.experiment]
    finished = [trial for trial in trials if trial.status == "finished"]
    published = published_config(row.table, row.experiment)
    differences = Counter(text for trial in finished for text in config_diff(trial.config, published))
    return ExperimentComparison(
        published=row,
        trial_ids=tuple(trial.trial_id for trial in finished),
        state=_state(trials, finished, sweep),
        quantities=tuple(
            QuantityComparison(
                metric=name,
                paper=row.metrics.get(name),
                ours=tuple(value for trial in finished if (value := trial.metrics.get(name)) is not None),
                trials=len(finished),
            )
            for name in metrics
        ),
        differences=tuple(
            text if times == len(finished) else f"{text} in {times} of {len(finished)} trials"
            for text, times in differences.items()
        ),
    )


def _state(trials: Sequence[Trial], finished: Sequence[Trial], sweep: Sweep) -> str:
    if not finished:
        statuses = dict.fromkeys(status_of(trial, sweep) for trial in trials)
        return f"no finished trial: {joined(list(statuses))}" if statuses else "not run"
    # A mean over more than seeds is one of different things, which must be noted.
    varied = [
        name
        for name in sweep.started.hyperparameters
        if name not in ("experiment", "seed") and len({str(t.hyperparameters.get(name)) for t in finished}) > 1
    ]
    across = f" that also differ in {joined(varied)}" if varied else ""
    return counted(len(finished), "trial") + across


def _difference_notes(experiments: Sequence[ExperimentComparison], sweep: Sweep) -> list[str]:
    """Return one note of what differs in all experiments, and one for each that differs in more."""
    run = [experiment for experiment in experiments if experiment.trial_ids]
    if not run:
        return ["None of the table's experiments has a finished trial yet."]
    shared = [text for text in run[0].differences if all(text in experiment.differences for experiment in run)]
    hardware = " and ".join(dict.fromkeys(hardware_text(session.hardware) for session in sessions_of(sweep)))
    hardware = f"hardware {hardware} (the paper: {_paper_hardware(run)})"
    owns = {row.published.experiment: [text for text in row.differences if text not in shared] for row in run}
    notes = [
        f"Our runs differ from the paper's in: {'; '.join([*shared, hardware])}.",
        *(f"{name} also differs in: {'; '.join(own)}." for name, own in owns.items() if own),
    ]
    finished = {trial_id for experiment in run for trial_id in experiment.trial_ids}
    if any(trial.config.get("init_from") for trial in sweep.trials if trial.trial_id in finished):
        notes.append("The config of a first stage, whose checkpoint gives the initial weights, is not compared.")
    known = {experiment.published.experiment for experiment in experiments}
    names = {str(trial.config.get("experiment") or "trials without an experiment") for trial in sweep.trials}
    if others := names - known:
        notes.append(f"Not in the paper's table: {', '.join(sorted(others))}.")
    return notes


def hardware_text(hardware: Mapping[str, Scalar]) -> str:
    """Return the hardware of a session: its GPUs if it had any, else the CPU."""
    if gpus := hardware.get("gpus"):
        return str(gpus)
    cores = hardware.get("cores")
    counted_cores = f", {counted(cores, 'core')}" if isinstance(cores, int) else ""
    return f"no GPU; {hardware.get('processor') or 'a CPU of unknown kind'}{counted_cores}"


def _paper_hardware(run: Sequence[ExperimentComparison]) -> str:
    """Return the paper's hardware, with the experiments where it is not the same for all."""
    names: dict[str, list[str]] = {}
    for row in run:
        names.setdefault(row.published.hardware or "not given", []).append(row.published.experiment)
    if len(names) == 1:
        return next(iter(names))
    return ", ".join(f"{hardware} for {joined(experiments)}" for hardware, experiments in names.items())


def _metric_notes(rows: Sequence[PublishedRow], metrics: Sequence[str]) -> list[str]:
    score = rows[0].score_name
    notes = ["quora is the paper's PARA."]
    if score in metrics:
        notes.append(f"The table's mean is {score}: {_SCORE_MEANINGS[score]}.")
    if rows[0].table == 9:
        notes.append("The paper's scores in this table are of the test leaderboard; ours are dev scores.")
    else:
        notes.append("Scores are dev scores, ours of the epoch with the best dev_score.")
    if "train_seconds" in metrics:
        notes.append(
            "Our time is that of the training steps alone; the paper does not say whether its time includes evaluation."
        )
    if "peak_memory_gib" in metrics:
        notes.append(
            "The paper gives memory in MB, read here as MiB of 2^20 bytes; if they are 10^6 bytes, the paper's numbers "
            "are 4.6% smaller."
        )
    return notes
