"""What a report says: the answer, the asked, the failed, as plain values that the templates lay out.

Knows nothing of HTML, Markdown and files.
"""

from dataclasses import dataclass
from pathlib import Path

from mtbert_ray.events import StopKind
from mtbert_ray.metrics import METRICS, Objective
from mtbert_ray.pareto.front import hypervolume
from mtbert_ray.pareto.objectives import reference_losses
from mtbert_ray.reporting.facts import facts_of, notes_of
from mtbert_ray.reporting.outcome import Outcome, config_text
from mtbert_ray.reporting.tables import FrontPoint, front_points, front_values
from mtbert_ray.reporting.wording import counted, duration, joined, plain_name, quantity
from mtbert_ray.task_metrics import meaning_of
from mtbert_ray.trial import Sweep

_ENDS = {
    None: "still running",
    "completed": "completed",
    "interrupted": "interrupted",
    "time_budget": "ended by its time budget",
}
_ENDED_BY: dict[StopKind | None, str] = {
    None: "",
    "rung": "rank at a rung",
    "probe": "costs at the probe",
    "constraint": "a constraint",
    "memory": "want of memory",
    "sweep": "the sweep's end",
}


@dataclass(frozen=True, kw_only=True)
class AskedObjective:
    """One objective as it was asked for, and the best that was found."""

    name: str
    meaning: str
    direction: str
    reference: str
    constraint: str
    best: str


@dataclass(frozen=True, kw_only=True)
class EndedEarly:
    """A trial that did not run to its end, and why."""

    trial_id: str
    setting: str
    epochs: int
    """Epochs that it finished."""
    spent: str
    """Time it trained."""
    ended_by: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything in a report but its tables and figures."""

    name: str
    question: str | None
    """What the sweep was to answer, in its author's words."""
    state: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    headline: str
    """The answer in a sentence or two."""
    objectives: tuple[AskedObjective, ...]
    front: tuple[FrontPoint, ...]
    front_names: tuple[str, ...]
    volume: str
    stopped: tuple[EndedEarly, ...]
    failed: tuple[EndedEarly, ...]
    machine: tuple[tuple[str, str], ...]


def content_of(outcome: Outcome, folder: Path) -> Content:
    """Put a sweep's outcome into words.

    Args:
        outcome: the sweep's.
        folder: the sweep's folder as commands should name it.
    """
    started = outcome.sweep.started
    return Content(
        name=started.name,
        question=started.space.get("question"),
        state=_ENDS[outcome.sweep.finished.reason if outcome.sweep.finished else None],
        facts=facts_of(outcome.sweep),
        notes=notes_of(outcome),
        headline=_headline(outcome),
        objectives=tuple(_asked(outcome, place) for place in range(len(outcome.objectives))),
        front=front_points(outcome, folder),
        front_names=tuple(plain_name(name) for name in outcome.objectives),
        volume=_volume(outcome),
        stopped=_ended_early(outcome.sweep, "stopped"),
        failed=_ended_early(outcome.sweep, "failed"),
        machine=(
            *(
                (name.replace("_", " "), "none" if value is None else str(value))
                for name, value in started.hardware.items()
            ),
            ("git revision", started.git_revision or "not from a checkout"),
            ("versions", ", ".join(f"{package} {version}" for package, version in started.versions.items())),
        ),
    )


def _ended_early(sweep: Sweep, status: str) -> tuple[EndedEarly, ...]:
    return tuple(
        EndedEarly(
            trial_id=trial.trial_id,
            setting=config_text(trial, sweep),
            epochs=len(trial.epochs),
            spent="" if (seconds := trial.metrics.get("train_seconds")) is None else duration(seconds),
            ended_by="divergence" if trial.failure_kind == "diverged" else _ENDED_BY[trial.stop_kind],
            reason=trial.reason or "no reason was recorded",
        )
        for trial in sweep.trials
        if trial.status == status
    )


def _headline(outcome: Outcome) -> str:
    if outcome.pick is None:
        return f"There is no front: {_why_no_front(outcome)}."
    values = dict(zip([t.trial_id for t in outcome.front], front_values(outcome), strict=True))[outcome.pick.trial_id]
    numbers = joined([f"{plain_name(name)} {value}" for name, value in zip(outcome.objectives, values, strict=True)])
    point = f"{outcome.pick.trial_id} ({config_text(outcome.pick, outcome.sweep)}): {numbers}"
    of = f"of {counted(len(outcome.compared), 'finished trial')}"
    if len(outcome.front) == 1:
        return f"One trial {of} is the best in every objective: {point}."
    if len(outcome.front) == 2:
        return (
            f"Two trials {of} are on the front, so there is no bend to recommend. "
            f"The better in {plain_name(next(iter(outcome.objectives)))} is {point}."
        )
    many = f"{len(outcome.front)} {of} are on the front"
    return f"{many}. Its knee, the best balance over the front's own ranges, is {point}."


def _volume(outcome: Outcome) -> str:
    if not outcome.objectives:
        return "none without objectives"
    volume = hypervolume(outcome.losses[outcome.feasible], reference_losses(outcome.objectives))
    corner = joined([f"{plain_name(name)} {quantity(name, o.reference)}" for name, o in outcome.objectives.items()])
    return f"{volume:.4g}, measured from {corner}"


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
        return "every trial was ended because of its costs; the table of stopped trials says by which bound"
    return "no trial finished" if outcome.sweep.finished else "no trial has finished yet"


def _asked(outcome: Outcome, place: int) -> AskedObjective:
    name, objective = list(outcome.objectives.items())[place]
    return AskedObjective(
        name=name,
        meaning=_meaning(name),
        direction=objective.direction,
        reference=quantity(name, objective.reference),
        constraint=_constraint(name, objective),
        best=_best(outcome, name, place),
    )


def _meaning(name: str) -> str:
    if name in METRICS:
        return METRICS[name].meaning
    task, dot, metric = name.partition(".")
    return meaning_of(metric, task) if dot else f"dev score of the task {task}"


def _constraint(name: str, objective: Objective) -> str:
    if objective.constraint is None:
        return "none"
    return f"at {'most' if objective.direction == 'minimize' else 'least'} {quantity(name, objective.constraint)}"


def _best(outcome: Outcome, name: str, place: int) -> str:
    if not outcome.front:
        return "none"
    best = int(outcome.front_losses[:, place].argmin())
    return f"{quantity(name, outcome.front[best].metrics[name])} ({outcome.front[best].trial_id})"
