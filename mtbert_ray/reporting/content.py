"""What a report says: the answer, the asked, the failed, as plain values that the templates lay out.

Knows nothing of HTML, Markdown and files.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mtbert_ray.metrics import METRICS, Objective
from mtbert_ray.pareto.hypervolume import hypervolume
from mtbert_ray.pareto.objectives import reference_losses
from mtbert_ray.records import StopKind, SweepRecord
from mtbert_ray.reporting.front_points import FrontPoint, front_points, front_values
from mtbert_ray.reporting.outcome import Outcome, setting_of, status_of
from mtbert_ray.reporting.wording import counted, duration, joined, plain_name, quantity

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
        facts=_facts(outcome.sweep),
        notes=_notes(outcome),
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


def last_heard_of(sweep: SweepRecord) -> float:
    """Return when the sweep ended, or the last time a trial began or ended, in seconds since the epoch."""
    if sweep.finished is not None:
        return sweep.finished.time
    return max([sweep.started.time, *(trial.ended or trial.started for trial in sweep.trials)])


def _ended_early(sweep: SweepRecord, status: str) -> tuple[EndedEarly, ...]:
    return tuple(
        EndedEarly(
            trial_id=trial.trial_id,
            setting=setting_of(trial, sweep),
            epochs=len(trial.epochs),
            spent="" if (seconds := trial.metrics.get("train_seconds")) is None else duration(seconds),
            ended_by=_ENDED_BY[trial.stop_kind],
            reason=trial.reason or "no reason was recorded",
        )
        for trial in sweep.trials
        if trial.status == status
    )


def _facts(sweep: SweepRecord) -> tuple[tuple[str, str], ...]:
    started = sweep.started
    counts: dict[str, int] = {}
    for trial in sweep.trials:
        status = status_of(trial, sweep)
        counts[status] = counts.get(status, 0) + 1
    planned = "as the time allows" if sweep.num_trials is None else str(sweep.num_trials)
    wall = duration(max(0.0, last_heard_of(sweep) - started.time))
    others = [
        ("stopped early" if status == "stopped" else status, str(counts[status]))
        for status in ("stopped", "running", "interrupted")
        if status in counts
    ]
    return (
        ("tasks", ", ".join(started.tasks)),
        ("trials planned", planned),
        ("finished", str(counts.get("finished", 0))),
        ("failed", str(counts.get("failed", 0))),
        *others,
        *_epochs_trained(sweep),
        ("wall time", wall if sweep.finished else f"{wall} so far"),
        ("seed", str(started.seed)),
        ("started", datetime.fromtimestamp(started.time, UTC).strftime("%Y-%m-%d %H:%M UTC")),
    )


def _epochs_trained(sweep: SweepRecord) -> tuple[tuple[str, str], ...]:
    """Return what stopping early has spared, where something was stopped early."""
    ended = [trial for trial in sweep.trials if trial.status in ("finished", "stopped")]
    if all(trial.stop_kind in (None, "sweep") for trial in ended):
        return ()
    trained = sum(len(trial.epochs) for trial in ended)
    whole = sum(int(trial.config["epochs"]) for trial in ended)
    return (("epochs trained", f"{trained} of the {whole} without early stopping ({trained / whole:.0%})"),)


def _notes(outcome: Outcome) -> tuple[str, ...]:
    notes = list(outcome.sweep.started.notes)
    if outcome.sweep.finished is None:
        notes.append(
            "The journal has no end: the sweep is still running, or it was killed. This is what it knew at the time."
        )
    if outcome.sweep.torn:
        notes.append("The journal's last line was cut off while it was written; its event is not in this report.")
    by_problem: dict[str, list[str]] = {}
    for trial in outcome.sweep.trials:
        if trial.gpu_problem is not None:
            by_problem.setdefault(trial.gpu_problem, []).append(trial.trial_id)
    for problem, trial_ids in by_problem.items():
        notes.append(f"GPU metrics are not known for {', '.join(trial_ids)}: {problem}.")
    finished = sum(trial.status == "finished" for trial in outcome.sweep.trials)
    if outcome.objectives and (unmeasured := finished - len(outcome.compared)):
        notes.append(f"{counted(unmeasured, 'finished trial')} could not be compared: an objective was not measured.")
    if outcome.front and not (outcome.front_losses < reference_losses(outcome.objectives)).all(axis=1).any():
        notes.append("No trial on the front is better than the reference in every objective.")
    return tuple(notes)


def _headline(outcome: Outcome) -> str:
    if outcome.pick is None:
        return f"There is no front: {_why_no_front(outcome)}."
    values = dict(zip([t.trial_id for t in outcome.front], front_values(outcome), strict=True))[outcome.pick.trial_id]
    numbers = joined([f"{plain_name(name)} {value}" for name, value in zip(outcome.objectives, values, strict=True)])
    point = f"{outcome.pick.trial_id} ({setting_of(outcome.pick, outcome.sweep)}): {numbers}"
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
    return "no trial finished" if outcome.sweep.finished else "no trial has finished yet"


def _asked(outcome: Outcome, place: int) -> AskedObjective:
    name, objective = list(outcome.objectives.items())[place]
    meaning = METRICS[name].meaning if name in METRICS else f"dev score of the task {name}"
    return AskedObjective(
        name=name,
        meaning=meaning,
        direction=objective.direction,
        reference=quantity(name, objective.reference),
        constraint=_constraint(name, objective),
        best=_best(outcome, name, place),
    )


def _constraint(name: str, objective: Objective) -> str:
    if objective.constraint is None:
        return "none"
    return f"at {'most' if objective.direction == 'minimise' else 'least'} {quantity(name, objective.constraint)}"


def _best(outcome: Outcome, name: str, place: int) -> str:
    if not outcome.front:
        return "none"
    best = int(outcome.front_losses[:, place].argmin())
    return f"{quantity(name, outcome.front[best].metrics[name])} ({outcome.front[best].trial_id})"
