"""The one view of a sweep: all that its page shows, as plain values that JSON holds, and no markup.

It serves the page of a report, which carries it, and whoever shows a running sweep. Numbers are the journal's own,
unrounded but for the curves of epochs; a metric or a hyperparameter that has no value is null. What a page writes of
them, with units and rounded, is the page's to decide. `view_of` puts it together from the parts that have files of
their own: `view_trials.py`, `view_progress.py`, `view_judgement.py`.
"""

import json
from pathlib import Path
from typing import Any, TypedDict

from mtbert_ray.metrics import METRICS, Objective
from mtbert_ray.recorded_config import recorded_metric
from mtbert_ray.reporting.content import Content
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.paper_comparison import PaperComparison
from mtbert_ray.reporting.view_judgement import Judgement, judgement_view
from mtbert_ray.reporting.view_progress import hypervolume_view, saved_view
from mtbert_ray.reporting.view_trials import curves_of, hyperparameters_of, reruns_of, trials_of
from mtbert_ray.reporting.wording import command_line, plain_name, unit_of
from mtbert_ray.task_metrics import task_metric

VIEW_VERSION = 1


class MetricView(TypedDict):
    """One reported number."""

    name: str
    label: str
    unit: str
    is_score: bool


class ObjectiveView(TypedDict):
    """One axis of the front; numbers are in the metric's unit."""

    name: str
    label: str
    unit: str
    meaning: str
    direction: str
    reference: float
    constraint: float | None
    tolerance: float | None
    ideal: float | None
    """What nothing can be better than; null where there is no such value."""
    noise: str | None
    """What its noise is from, in words."""


class CommandView(TypedDict):
    """A command line, and what it does."""

    label: str
    command: str


SweepView = dict[str, Any]
"""Keys: see `view_of`. A plain dict, since sections that a sweep lacks are null."""


def view_of(
    outcome: Outcome,
    content: Content,
    folder: Path,
    *,
    judgement: Judgement | None = None,
    comparison: PaperComparison | None = None,
) -> SweepView:
    """Return the view of a sweep.

    Args:
        outcome: of the sweep, which may still run.
        content: its texts.
        folder: as commands shall name it.
        judgement: what is known of noise, recommendations and importance; none leaves these sections out.
        comparison: with the paper; none for a sweep of no table.
    """
    judged = judgement or Judgement()
    metrics = _metrics_of(outcome)
    hyperparameters = hyperparameters_of(outcome)
    return {
        "version": VIEW_VERSION,
        "name": content.name,
        "question": content.question,
        "state": content.state,
        "is_running": outcome.sweep.finished is None,
        "facts": [list(fact) for fact in content.facts],
        "notes": list(content.notes),
        "headline": content.headline,
        "objectives": _objectives_of(outcome, content, judged),
        "metrics": metrics,
        "hyperparameters": hyperparameters,
        "trials": trials_of(outcome, [metric["name"] for metric in metrics], hyperparameters, folder, judged),
        "curves": curves_of(outcome),
        "front": [trial.trial_id for trial in outcome.front],
        "trade_offs": {point.trial_id: list(point.trade_offs) for point in content.front},
        "hypervolume": hypervolume_view(outcome, [ideal_of(*item, outcome) for item in outcome.objectives.items()]),
        "saved": saved_view(outcome),
        "ended_early": [
            {
                "id": trial.trial_id,
                "status": status,
                "cause": trial.cause,
                "reason": trial.reason,
                "epochs": trial.epochs,
            }
            for status, trials in (("failed", content.failed), ("stopped", content.stopped))
            for trial in trials
        ],
        **judgement_view(outcome, judged),
        "reruns": reruns_of(outcome),
        "comparison": None if comparison is None else _comparison_view(comparison),
        "environment": [list(row) for row in content.environment],
        "space": outcome.sweep.started.space_text or json.dumps(outcome.sweep.started.space, indent=2),
        "commands": _commands(folder),
    }


def _metrics_of(outcome: Outcome) -> list[MetricView]:
    """Return the metrics that some trial has a value of: objectives first, then scores, then costs."""
    started = outcome.sweep.started
    reported = dict.fromkeys(name for trial in outcome.sweep.trials for name in trial.metrics if name != "epoch")
    known = {name for trial in outcome.sweep.trials for name, value in trial.metrics.items() if value is not None}
    order = dict.fromkeys((*started.objectives, "dev_score", *started.tasks, *METRICS, *reported))
    tasks = set(started.tasks)
    return [
        MetricView(name=name, label=plain_name(name), unit=unit_of(name), is_score=name.partition(".")[0] in tasks)
        for name in order
        if name in known
    ]


def _objectives_of(outcome: Outcome, content: Content, judged: Judgement) -> list[ObjectiveView]:
    noise = judged.uncertainty
    return [
        ObjectiveView(
            name=name,
            label=plain_name(name),
            unit=unit_of(name),
            meaning=summary.meaning,
            direction=objective.direction,
            reference=objective.reference,
            constraint=objective.constraint,
            tolerance=None if noise is None else float(noise.tolerance[place]),
            ideal=ideal_of(name, objective, outcome),
            noise=None if noise is None else noise.sources[place],
        )
        for place, ((name, objective), summary) in enumerate(
            zip(outcome.objectives.items(), content.objectives, strict=True)
        )
    ]


def ideal_of(name: str, objective: Objective, outcome: Outcome) -> float | None:
    """Return what no trial can be better than in an objective; none where nothing bounds it.

    With the reference it spans the box that hypervolumes are shares of.
    """
    if objective.attainable is not None:
        return objective.attainable
    if name in METRICS:
        return METRICS[name].bounds(objective.direction)[1]
    task_name, dot, metric = name.partition(".")
    if not dot:
        config = outcome.sweep.trials[0].config if outcome.sweep.trials else {"tasks": []}
        known = next((recorded_metric(task) for task in config["tasks"] if task["name"] == task_name), "accuracy")
        if known is None:
            return None
        metric = known
    scored = task_metric(metric)
    return scored.best if scored.direction == objective.direction else scored.worst


def _comparison_view(comparison: PaperComparison) -> dict[str, Any]:
    return {
        "table": comparison.table,
        "headings": list(comparison.headings),
        "notes": list(comparison.notes),
        "rows": [
            {
                "experiment": row.published.experiment,
                "config": row.published.config,
                "state": row.state,
                "cells": [
                    {
                        "ours": one.ours_text if row.trial_ids else "",
                        "range": one.range_text if row.trial_ids else "",
                        "paper": one.paper_text,
                        "difference": one.difference_text if row.trial_ids else "",
                    }
                    for one in row.quantities
                ],
            }
            for row in comparison.experiments
        ],
    }


def _commands(folder: Path) -> list[CommandView]:
    return [
        CommandView(label="Write this report again", command=command_line("report", folder)),
        CommandView(label="Resume the sweep", command=command_line("sweep", "--resume", folder)),
        CommandView(label="Size the next sweep from this one", command=command_line("replay", folder)),
    ]
