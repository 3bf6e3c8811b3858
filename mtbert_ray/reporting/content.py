"""What the templates of the report lay out, as plain values: the answer, the front, the objectives, the environment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtbert_ray.metrics import METRICS, Objectives
from mtbert_ray.pareto.front import hypervolume, trade_offs
from mtbert_ray.pareto.objectives import reference_losses
from mtbert_ray.reporting.facts import facts_of, notes_of
from mtbert_ray.reporting.failures import EndedEarly, ended_early
from mtbert_ray.reporting.outcome import Outcome, config_text, kept_checkpoint
from mtbert_ray.reporting.wording import command_line, counted, difference, joined, plain_name, quantity
from mtbert_ray.task_metrics import meaning_of
from mtbert_ray.trial import Trial

_ENDS = {
    None: "still running",
    "completed": "completed",
    "interrupted": "interrupted",
    "time_budget": "stopped by its time budget",
    "disk_full": "ended by a full or failing disk",
    "deaths": "ended after too many deaths in a row",
}


@dataclass(frozen=True, kw_only=True)
class ObjectiveSummary:
    """One objective, and the best value found."""

    name: str
    meaning: str
    direction: str
    reference: str
    constraint: str
    best: str


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """One trial on the front."""

    trial_id: str
    config: str
    values: tuple[str, ...]
    """One an objective, with units."""
    trade_offs: tuple[str, ...]
    """What it gives up and gains, compared with each trial that is the best in some objective."""
    train_command: str
    predict_command: str | None
    """None when the trial has no checkpoint, or it was deleted."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything in a report but its tables and figures."""

    name: str
    question: str | None
    state: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    headline: str
    """The answer in a sentence or two."""
    objectives: tuple[ObjectiveSummary, ...]
    front: tuple[FrontPoint, ...]
    front_names: tuple[str, ...]
    volume: str
    stopped: tuple[EndedEarly, ...]
    failed: tuple[EndedEarly, ...]
    environment: tuple[tuple[str, str], ...]


def content_of(outcome: Outcome, folder: Path) -> Content:
    """Return the content of a sweep's report, with commands that name the sweep's folder as given."""
    started = outcome.sweep.started
    return Content(
        name=started.name,
        question=started.space.get("question"),
        state=_ENDS[outcome.sweep.finished.reason if outcome.sweep.finished else None],
        facts=facts_of(outcome.sweep),
        notes=notes_of(outcome),
        headline=_headline(outcome),
        objectives=tuple(_summaries(outcome)),
        front=front_points(outcome, folder),
        front_names=tuple(plain_name(name) for name in outcome.objectives),
        volume=_volume(outcome),
        stopped=ended_early(outcome.sweep, "stopped"),
        failed=ended_early(outcome.sweep, "failed"),
        environment=(
            *(
                (name.replace("_", " "), "none" if value is None else str(value))
                for name, value in started.hardware.items()
            ),
            ("git revision", started.git_revision or "not from a checkout"),
            ("versions", ", ".join(f"{package} {version}" for package, version in started.versions.items())),
        ),
    )


def _headline(outcome: Outcome) -> str:
    if outcome.pick is None:
        return f"There is no front: {_why_no_front(outcome)}."
    metrics = outcome.pick.metrics
    numbers = joined([f"{plain_name(name)} {quantity(name, metrics[name])}" for name in outcome.objectives])
    point = f"{outcome.pick.trial_id} ({config_text(outcome.pick, outcome.sweep)}): {numbers}"
    of = f"of {counted(len(outcome.compared), 'finished trial')}"
    if len(outcome.front) == 1:
        return f"One trial {of} is the best in every objective: {point}."
    many = f"{'Two trials' if len(outcome.front) == 2 else len(outcome.front)} {of} are on the front"
    better = "better" if len(outcome.front) == 2 else "best"
    return f"{many}. The {better} in {plain_name(next(iter(outcome.objectives)))} is {point}."


def _volume(outcome: Outcome) -> str:
    if not outcome.objectives:
        return "none without objectives"
    volume = hypervolume(outcome.losses[outcome.feasible], reference_losses(outcome.objectives))
    corner = joined([f"{plain_name(name)} {quantity(name, o.reference)}" for name, o in outcome.objectives.items()])
    return f"{volume:.4g}, with the reference point {corner}"


def _why_no_front(outcome: Outcome) -> str:
    trials = outcome.sweep.trials
    if not outcome.objectives:
        return "the sweep had no objectives"
    if len(outcome.compared):
        return f"of {counted(len(outcome.compared), 'finished trial')} none meets every constraint"
    if any(trial.status == "finished" for trial in trials):
        return "no finished trial has a value for every objective"
    if trials and all(trial.status == "failed" for trial in trials):
        return "every trial failed" if outcome.sweep.finished else "every trial so far failed"
    if trials and all(trial.stop_kind in ("probe", "constraint", "memory") for trial in trials):
        return "every trial was stopped because of its costs, see the table of stopped trials"
    return "no trial finished" if outcome.sweep.finished else "no trial has finished yet"


def _summaries(outcome: Outcome) -> Iterator[ObjectiveSummary]:
    for place, (name, objective) in enumerate(outcome.objectives.items()):
        constraint, best = "none", "none"
        if objective.constraint is not None:
            bound = "at most" if objective.direction == "minimize" else "at least"
            constraint = f"{bound} {quantity(name, objective.constraint)}"
        if outcome.front:
            trial = outcome.front[int(outcome.front_losses[:, place].argmin())]
            best = f"{quantity(name, trial.metrics[name])} ({trial.trial_id})"
        yield ObjectiveSummary(
            name=name,
            meaning=_meaning(name),
            direction=objective.direction,
            reference=quantity(name, objective.reference),
            constraint=constraint,
            best=best,
        )


def _meaning(name: str) -> str:
    if name in METRICS:
        return METRICS[name].meaning
    task, dot, metric = name.partition(".")
    return meaning_of(metric, task) if dot else f"dev score of the task {task}"


def front_points(outcome: Outcome, folder: Path) -> tuple[FrontPoint, ...]:
    """Return the trials on the front, the best in the first objective first, with commands that name the folder."""
    compared = trade_offs(outcome.front_losses) if outcome.front else []
    return tuple(
        FrontPoint(
            trial_id=trial.trial_id,
            config=config_text(trial, outcome.sweep),
            values=tuple(quantity(name, trial.metrics[name]) for name in outcome.objectives),
            trade_offs=tuple(
                _in_words(outcome.front[best], differences, outcome.objectives) for best, differences in own.items()
            )
            or ("none: it is the best in every objective",),
            train_command=command_line("train", "--config", folder / "trials" / trial.trial_id / "config.yaml"),
            predict_command=command_line("predict", folder / kept)
            if (kept := kept_checkpoint(trial, outcome))
            else None,
        )
        for trial, own in zip(outcome.front, compared, strict=True)
    )


def _in_words(best: Trial, differences: Sequence[float], objectives: Objectives) -> str:
    """Return a trade-off: "0.012 less dev score than t3, for 1.90 GiB less peak memory"."""
    parts = [
        (difference(name, objective.direction, loss), loss)
        for (name, objective), loss in zip(objectives.items(), differences, strict=True)
    ]
    given_up = joined([text for text, loss in parts if loss > 0])
    return f"{given_up} than {best.trial_id}, for {joined([text for text, loss in parts if loss < 0])}"
