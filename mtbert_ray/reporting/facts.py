"""The sessions of a sweep that was gone on with: when they ran, the time without the pauses, what differs between them.

Knows nothing of pages and figures.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from mtbert_ray.events import Scalar, SweepResumed, SweepStarted
from mtbert_ray.pareto.objectives import best_values, reference_losses, unreached_references
from mtbert_ray.reporting.outcome import Outcome, status_of
from mtbert_ray.reporting.wording import config_value, counted, duration, joined, plain_name, quantity
from mtbert_ray.trial import Sweep

Session = SweepStarted | SweepResumed
"""What a session began with."""


def sessions_of(sweep: Sweep) -> tuple[Session, ...]:
    """Return all of them, the first too."""
    return (sweep.started, *sweep.resumed)


def last_heard_of(sweep: Sweep) -> float:
    """Return when the sweep ended, or the last time a session or a trial began or ended, in seconds since the epoch."""
    if sweep.finished is not None:
        return sweep.finished.time
    sessions = [sweep.started.time, *(session.time for session in sweep.resumed)]
    return max([*sessions, *(trial.ended or trial.started for trial in sweep.trials)])


def seconds_run(sweep: Sweep, until: float) -> float:
    """Return for how long the sweep had run at a time, without the pauses between its sessions.

    Args:
        sweep: may still be running.
        until: in seconds since the epoch.
    """
    paused = sum(
        max(0.0, min(session.time, until) - min(paused_at, until))
        for paused_at, session in zip(sweep.paused_at, sweep.resumed, strict=True)
    )
    return max(0.0, until - sweep.started.time - paused)


def session_notes(sweep: Sweep) -> tuple[str, ...]:
    """Return for each session after the first when it began, what ran in it, and what was otherwise than before."""
    return tuple(_note(sweep, place) for place in range(len(sweep.resumed)))


def moment(seconds: float) -> str:
    """Return a time as a reader would write it: "2026-11-23 03:36 UTC"."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _note(sweep: Sweep, place: int) -> str:
    before, session = sessions_of(sweep)[place : place + 2]
    pause = duration(max(0.0, session.time - sweep.paused_at[place]))
    text = f"The sweep was gone on with at {moment(session.time)} in session {place + 2}, after a pause of {pause}."
    ran = [trial.trial_id for trial in sweep.trials if trial.started >= session.time]
    differing = list(_differences(before, session))
    if not differing:
        return f"{text} Hardware, versions and git revision were those of session {place + 1}."
    whose = f"those of {joined(ran)} do not compare with earlier ones" if ran else "no trial has started in it yet"
    return f"{text} Otherwise than in session {place + 1}: {'; '.join(differing)}. Seconds, energy and memory: {whose}."


def _differences(before: Session, after: Session) -> Iterator[str]:
    """Yield what two sessions ran on, each as "torch 2.14.0 (was 2.13.0)"."""
    hardware = ({name.replace("_", " "): value for name, value in each.hardware.items()} for each in (before, after))
    yield from _changed(*hardware)
    yield from _changed(before.versions, after.versions)
    yield from _changed({"git revision": before.git_revision}, {"git revision": after.git_revision})


def _changed(before: Mapping[str, Scalar], after: Mapping[str, Scalar]) -> Iterator[str]:
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name), after.get(name)
        if was != now:
            yield f"{name} {_readable(now)} (was {_readable(was)})"


def _readable(value: Scalar) -> str:
    return "none" if value is None else config_value(value)


def facts_of(sweep: Sweep) -> tuple[tuple[str, str], ...]:
    """Return names and values: tasks, how many trials came to what, epochs spared, time, seed."""
    started = sweep.started
    counts: dict[str, int] = {}
    for trial in sweep.trials:
        status = status_of(trial, sweep)
        counts[status] = counts.get(status, 0) + 1
    planned = "as the time allows" if sweep.num_trials is None else str(sweep.num_trials)
    others = [
        ("stopped early" if status == "stopped" else status, str(counts[status]))
        for status in ("stopped", "running", "interrupted")
        if status in counts
    ]
    return (
        ("tasks", ", ".join(started.tasks)),
        ("trials planned", planned),
        ("finished", str(counts.get("finished", 0))),
        ("failed", _failed(sweep)),
        *others,
        *_epochs_trained(sweep),
        ("wall time", _wall_time(sweep)),
        ("seed", str(started.seed)),
        ("started", moment(started.time)),
    )


def notes_of(outcome: Outcome) -> tuple[str, ...]:
    """Return a sentence for each thing that could mislead whoever does not know it."""
    notes = [*outcome.sweep.started.notes, *session_notes(outcome.sweep)]
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
    notes += _without_value(outcome.sweep)
    compared = {trial.trial_id for trial in outcome.compared}
    unmeasured = sum(
        trial.status == "finished" and trial.trial_id not in compared and not trial.without_value
        for trial in outcome.sweep.trials
    )
    if outcome.objectives and unmeasured:
        notes.append(f"{counted(unmeasured, 'finished trial')} could not be compared: an objective was not measured.")
    if gaps := _gaps_to_reference(outcome):
        yet = "" if outcome.sweep.finished else " yet"
        notes.append(f"No trial is better than the reference{yet}, so the hypervolume is 0: {'; '.join(gaps)}.")
    elif outcome.front and not (outcome.front_losses < reference_losses(outcome.objectives)).all(axis=1).any():
        notes.append("No trial on the front is better than the reference in every objective.")
    return tuple(notes)


def _failed(sweep: Sweep) -> str:
    kinds = [trial.failure_kind for trial in sweep.trials if trial.status == "failed"]
    diverged = kinds.count("diverged")
    return f"{len(kinds)} ({diverged} diverged)" if diverged else str(len(kinds))


def _without_value(sweep: Sweep) -> Iterator[str]:
    """Yield which scores have no value and why, with the trials that share it."""
    trials: dict[str, list[str]] = {}
    for trial in sweep.trials:
        for words in trial.without_value:
            trials.setdefault(words, []).append(trial.trial_id)
    for words, trial_ids in trials.items():
        yield f"{', '.join(trial_ids)}: {words}."


def _gaps_to_reference(outcome: Outcome) -> list[str]:
    objectives = outcome.objectives
    return [
        f"best {plain_name(name)} {quantity(name, value)}, reference {quantity(name, objectives[name].reference)}"
        for name, value in unreached_references(objectives, best_values(objectives, outcome.sweep.trials)).items()
    ]


def _wall_time(sweep: Sweep) -> str:
    wall = duration(seconds_run(sweep, last_heard_of(sweep)))
    in_sessions = f" in {len(sweep.resumed) + 1} sessions, without the pauses" if sweep.resumed else ""
    return f"{wall}{in_sessions}{'' if sweep.finished else ' so far'}"


def _epochs_trained(sweep: Sweep) -> tuple[tuple[str, str], ...]:
    """Return what stopping early has spared, where something was stopped early.

    A trial that the sweep's end cut off has spared nothing, and is in neither sum.
    """
    ended = [trial for trial in sweep.trials if trial.status in ("finished", "stopped") and trial.stop_kind != "sweep"]
    if all(trial.stop_kind is None for trial in ended):
        return ()
    trained = sum(len(trial.epochs) for trial in ended)
    whole = sum(int(trial.config["epochs"]) for trial in ended)
    return (("epochs trained", f"{trained} of the {whole} without early stopping ({trained / whole:.0%})"),)
