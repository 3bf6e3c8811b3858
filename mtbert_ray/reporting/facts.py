"""The facts and notes at the top of a report: counts of trials, times and sessions, what could mislead the reader."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from mtbert_ray.events import Scalar, SweepResumed, SweepStarted
from mtbert_ray.pareto.objectives import best_values, reference_losses, unreached_references
from mtbert_ray.reporting.failures import failed_count, failure_notes, status_of
from mtbert_ray.reporting.outcome import Outcome, keeps_checkpoint
from mtbert_ray.reporting.sharing import sharing_notes
from mtbert_ray.reporting.wording import config_value, counted, duration, joined, plain_name, quantity
from mtbert_ray.trial import Sweep

Session = SweepStarted | SweepResumed
"""The first event of a session."""


def sessions_of(sweep: Sweep) -> tuple[Session, ...]:
    """Return the first events of all sessions."""
    return (sweep.started, *sweep.resumed)


def last_event_time(sweep: Sweep) -> float:
    """Return when the sweep, or else a session or a trial, last started or ended, in seconds since the epoch."""
    if sweep.finished is not None:
        return sweep.finished.time
    sessions = [sweep.started.time, *(session.time for session in sweep.resumed)]
    return max([*sessions, *(trial.ended or trial.started for trial in sweep.all_trials)])


def seconds_run(sweep: Sweep, until: float) -> float:
    """Return how long the sweep had run at a time in seconds since the epoch, without pauses between sessions."""
    paused = sum(
        max(0.0, min(session.time, until) - min(paused_at, until))
        for paused_at, session in zip(sweep.paused_at, sweep.resumed, strict=True)
    )
    return max(0.0, until - sweep.started.time - paused)


def session_notes(sweep: Sweep) -> tuple[str, ...]:
    """Return for each session after the first when it started, and what changed in hardware and versions."""
    return tuple(_session_note(sweep, place) for place in range(len(sweep.resumed)))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _session_note(sweep: Sweep, place: int) -> str:
    before, session = sessions_of(sweep)[place : place + 2]
    pause = duration(max(0.0, session.time - sweep.paused_at[place]))
    text = f"Session {place + 2} resumed the sweep at {_moment(session.time)}, after a pause of {pause}."
    ran = [trial.trial_id for trial in sweep.all_trials if trial.started >= session.time]
    changes = list(_changes(before, session))
    if not changes:
        return f"{text} Hardware, versions and git revision are the same as in session {place + 1}."
    which = f"of {joined(ran)} are not comparable with earlier ones" if ran else "may change: no trial has started yet"
    return f"{text} Changed since session {place + 1}: {'; '.join(changes)}. Seconds, energy and memory {which}."


def _changes(before: Session, after: Session) -> Iterator[str]:
    """Yield what changed between two sessions, each as "torch 2.14.0 (was 2.13.0)"."""
    was, now = _environment(before), _environment(after)
    for name in dict.fromkeys([*was, *now]):
        if was.get(name) != now.get(name):
            yield f"{name} {_readable(now.get(name))} (was {_readable(was.get(name))})"


def _environment(session: Session) -> dict[str, Scalar]:
    hardware = {name.replace("_", " "): value for name, value in session.hardware.items()}
    return {**hardware, **session.versions, "git revision": session.git_revision}


def _readable(value: Scalar) -> str:
    return "none" if value is None else config_value(value)


def facts_of(sweep: Sweep) -> tuple[tuple[str, str], ...]:
    """Return names and values: tasks, numbers of trials, epochs trained, time, seed."""
    started = sweep.started
    counts = Counter(status_of(trial, sweep) for trial in sweep.trials)
    planned = "as the time allows" if sweep.num_trials is None else str(sweep.num_trials)
    others = [
        ("stopped early" if status == "stopped" else status, str(counts[status]))
        for status in ("stopped", "running", "interrupted")
        if status in counts
    ]
    return (
        ("tasks", ", ".join(started.tasks)),
        ("trials planned", planned),
        ("finished", str(counts["finished"])),
        ("failed", failed_count(sweep)),
        *others,
        *_reruns(sweep),
        *_epochs_trained(sweep),
        ("wall time", _wall_time(sweep)),
        ("seed", str(started.seed)),
        ("started", _moment(started.time)),
    )


def _reruns(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """Yield how many repeats and remeasurements there are, as "6 finished, 1 failed (diverged)"."""
    for name, purpose in (("repeats", "repeat"), ("measured alone", "remeasure")):
        of_purpose = [trial for trial in sweep.reruns if trial.purpose == purpose]
        counts = Counter(
            "finished" if trial.stop_kind == "remeasured" else status_of(trial, sweep) for trial in of_purpose
        )
        if of_purpose:
            yield name, ", ".join(f"{count} {status}" for status, count in counts.items())


def notes_of(outcome: Outcome) -> tuple[str, ...]:
    """Return a sentence for each thing that could mislead the reader."""
    notes = [*outcome.sweep.started.notes, *session_notes(outcome.sweep)]
    if outcome.sweep.finished is None:
        notes.append(
            "The journal has no end: the sweep is still running, or it was killed. This report is of its events so far."
        )
    notes += _damage_notes(outcome.sweep)
    if outcome.sweep.torn:
        notes.append("The journal's last line is incomplete; its event is not in this report.")
    notes += failure_notes(outcome.sweep)
    notes += sharing_notes(outcome.sweep)
    trials = outcome.sweep.all_trials
    deleted = [trial for trial in trials if trial.checkpoint and not keeps_checkpoint(trial, outcome)]
    if deleted:
        kept = outcome.sweep.started.space["keep_checkpoints"]
        notes.append(f"{counted(len(deleted), 'checkpoint')} of other trials were deleted (keep_checkpoints: {kept}).")
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


_MAX_DAMAGE = 20
"""Lines that a report names."""


def _damage_notes(sweep: Sweep) -> Iterator[str]:
    for text in sweep.damage[:_MAX_DAMAGE]:
        yield f"The journal is damaged; what this line tells is not in this report: {text}."
    if (more := len(sweep.damage) - _MAX_DAMAGE) > 0:
        yield f"The journal is damaged in {counted(more, 'more line')}."


def _gaps_to_reference(outcome: Outcome) -> list[str]:
    objectives = outcome.objectives
    return [
        f"best {plain_name(name)} {quantity(name, value)}, reference {quantity(name, objectives[name].reference)}"
        for name, value in unreached_references(objectives, best_values(objectives, outcome.sweep.trials)).items()
    ]


def _wall_time(sweep: Sweep) -> str:
    wall = duration(seconds_run(sweep, last_event_time(sweep)))
    in_sessions = f" in {len(sweep.resumed) + 1} sessions, without the pauses" if sweep.resumed else ""
    return f"{wall}{in_sessions}{'' if sweep.finished else ' so far'}"


def _epochs_trained(sweep: Sweep) -> tuple[tuple[str, str], ...]:
    """Return the share of epochs trained, where trials were stopped early; interrupted trials do not count."""
    ended = [trial for trial in sweep.trials if trial.status in ("finished", "stopped") and trial.stop_kind != "sweep"]
    if all(trial.stop_kind is None for trial in ended):
        return ()
    trained = sum(len(trial.epochs) for trial in ended)
    whole = sum(int(trial.config["epochs"]) for trial in ended)
    return (("epochs trained", f"{trained} of the {whole} without early stopping ({trained / whole:.0%})"),)
