"""Puts a sweep of one of the paper's tables beside the paper's own numbers, row by row."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mtbert_ray.reporting.config_diff import config_diff, hardware_in_words
from mtbert_ray.reporting.facts import sessions_of
from mtbert_ray.reporting.outcome import status_of
from mtbert_ray.reporting.published import PublishedRow, published_configs, published_rows
from mtbert_ray.reporting.wording import counted, joined, metric_heading, signed, spelled
from mtbert_ray.trial import Sweep, Trial

_SCORE_MEANINGS = {
    "dev_score": "the plain mean of the three scores",
    "leaderboard_score": "the mean of the three scores with (r + 1) / 2 for the correlation r",
}


@dataclass(frozen=True, kw_only=True)
class Beside:
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
        """Ours less the paper's."""
        return None if self.paper is None or self.mean is None else self.mean - self.paper

    @property
    def paper_text(self) -> str:
        """The paper's number in words."""
        return "none given" if self.paper is None else spelled(self.metric, self.paper)

    @property
    def ours_text(self) -> str:
        """Our number in words; of several the mean."""
        return "not measured" if self.mean is None else spelled(self.metric, self.mean)

    @property
    def range_text(self) -> str:
        """The range of several trials, and how many did not measure it; nothing for one trial."""
        if self.trials < 2 or not self.ours:
            return ""
        ends = f"{spelled(self.metric, min(self.ours))} to {spelled(self.metric, max(self.ours))}"
        return ends if len(self.ours) == self.trials else f"{ends}, {len(self.ours)} of {self.trials} trials"

    @property
    def difference_text(self) -> str:
        """The difference with its sign; nothing where there is none."""
        return "" if self.difference is None else signed(self.metric, self.difference)


@dataclass(frozen=True, kw_only=True)
class ExperimentBeside:
    """One experiment of the table."""

    published: PublishedRow
    trial_ids: tuple[str, ...]
    """Its finished trials."""
    state: str
    """How many trials the numbers come from, or why there are none: "not run", "failed"."""
    quantities: tuple[Beside, ...]
    differences: tuple[str, ...]
    """What our trials have otherwise than the paper's run."""


@dataclass(frozen=True, kw_only=True)
class BesidePaper:
    """A sweep beside one of the paper's tables."""

    table: int
    headings: tuple[str, ...]
    experiments: tuple[ExperimentBeside, ...]
    sentences: tuple[str, ...]
    """What differs between the two runs, and what the numbers are."""


def compare_with_paper(sweep: Sweep) -> BesidePaper | None:
    """Return a sweep beside the paper's table that its search space names; None where it names none."""
    table = sweep.started.space.get("paper_table")
    rows = published_rows(table) if isinstance(table, int) else ()
    if not rows:
        return None
    # All quantities that some row of the table has, so that the rows have the same columns.
    metrics = [name for name in rows[0].metrics if any(row.metrics.get(name) is not None for row in rows)]
    experiments = tuple(_experiment(row, metrics, sweep) for row in rows)
    return BesidePaper(
        table=rows[0].table,
        headings=tuple(metric_heading(name) for name in metrics),
        experiments=experiments,
        sentences=(*_what_differs(experiments, sweep), *_what_numbers_are(rows, metrics)),
    )


def comparison_table(beside: BesidePaper) -> pd.DataFrame:
    """Return one row an experiment: for each quantity the paper's number, the mean and range of ours, the difference.

    What the paper does not have, or was not run or measured, is NA.
    """
    return pd.DataFrame([_table_row(experiment) for experiment in beside.experiments])


def _table_row(experiment: ExperimentBeside) -> dict[str, object]:
    row = experiment.published
    cells: dict[str, object] = {
        "table": row.table,
        "experiment": row.experiment,
        "setting": row.setting,
        "state": experiment.state,
        "trials": " ".join(experiment.trial_ids),
    }
    for beside in experiment.quantities:
        cells |= {
            f"{beside.metric}_paper": beside.paper,
            f"{beside.metric}_ours": beside.mean,
            f"{beside.metric}_ours_lowest": min(beside.ours, default=None),
            f"{beside.metric}_ours_highest": max(beside.ours, default=None),
            f"{beside.metric}_difference": beside.difference,
        }
    return {**cells, "paper_hardware": row.hardware, "differs": "; ".join(experiment.differences)}


def _experiment(row: PublishedRow, metrics: Sequence[str], sweep: Sweep) -> ExperimentBeside:
    trials = [trial for trial in sweep.trials if trial.config.get("experiment") == row.experiment]
    finished = [trial for trial in trials if trial.status == "finished"]
    settings = published_configs(row.table, row.experiment)
    differences = Counter(text for trial in finished for text in config_diff(trial.config, settings))
    return ExperimentBeside(
        published=row,
        trial_ids=tuple(trial.trial_id for trial in finished),
        state=_state(trials, finished, sweep),
        quantities=tuple(
            Beside(
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
    # Seeds make a mean; anything else that varies makes it a mean of different things, which must be said.
    varied = [
        name
        for name in sweep.started.hyperparameters
        if name not in ("experiment", "seed") and len({str(t.hyperparameters.get(name)) for t in finished}) > 1
    ]
    across = f" that differ in {joined(varied)} as well" if varied else ""
    return counted(len(finished), "trial") + across


def _what_differs(experiments: Sequence[ExperimentBeside], sweep: Sweep) -> list[str]:
    """Say what all experiments depart in once, and what only some do by their names."""
    run = [experiment for experiment in experiments if experiment.trial_ids]
    if not run:
        return ["None of the table's experiments has a finished trial yet."]
    shared = [text for text in run[0].differences if all(text in experiment.differences for experiment in run)]
    hardware = " and ".join(dict.fromkeys(hardware_in_words(session.hardware) for session in sessions_of(sweep)))
    ran_on = f"hardware {hardware} (the paper: {_paper_hardware(run)})"
    owns = {row.published.experiment: [text for text in row.differences if text not in shared] for row in run}
    sentences = [
        f"Our runs differ from the paper's in: {'; '.join([*shared, ran_on])}.",
        *(f"{name} besides in: {'; '.join(own)}." for name, own in owns.items() if own),
    ]
    finished = {trial_id for experiment in run for trial_id in experiment.trial_ids}
    if any(trial.config.get("init_from") for trial in sweep.trials if trial.trial_id in finished):
        sentences.append(
            "What the first stage, from whose checkpoint a trial starts, was trained with is not compared."
        )
    known = {experiment.published.experiment for experiment in experiments}
    names = {str(trial.config.get("experiment") or "trials without an experiment") for trial in sweep.trials}
    if others := names - known:
        sentences.append(f"Not in the paper's table: {', '.join(sorted(others))}.")
    return sentences


def _paper_hardware(run: Sequence[ExperimentBeside]) -> str:
    """Say what the paper ran on; of which experiments, where it does not say it of all."""
    names: dict[str, list[str]] = {}
    for row in run:
        names.setdefault(row.published.hardware or "not given", []).append(row.published.experiment)
    if len(names) == 1:
        return next(iter(names))
    return ", ".join(f"{hardware} for {joined(experiments)}" for hardware, experiments in names.items())


def _what_numbers_are(rows: Sequence[PublishedRow], metrics: Sequence[str]) -> list[str]:
    score = rows[0].score_name
    sentences = ["quora is the paper's PARA."]
    if score in metrics:
        sentences.append(f"The table's mean is {score}: {_SCORE_MEANINGS[score]}.")
    if rows[0].table == 9:
        sentences.append("The paper's scores in this table are those of the test leaderboard; ours are dev scores.")
    else:
        sentences.append("Scores are dev scores, ours of the epoch with the best dev_score.")
    if "train_seconds" in metrics:
        sentences.append(
            "Our time is that of the training steps alone; the paper does not say whether its own counts the scoring."
        )
    if "peak_memory_gib" in metrics:
        sentences.append(
            "The paper gives memory in MB without saying which: it is read here as MiB of 2^20 bytes; were it 10^6 "
            "bytes, the paper's numbers would be 4.6% smaller."
        )
    return sentences
