"""The sessions of a sweep that was gone on with: when they ran, the time without the pauses, what differs between them.

Knows nothing of pages and figures.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from mtbert_ray.records import Scalar, SweepRecord, SweepResumed, SweepStarted
from mtbert_ray.reporting.wording import duration, joined, setting_value

Session = SweepStarted | SweepResumed
"""What a session began with."""


def sessions_of(sweep: SweepRecord) -> tuple[Session, ...]:
    """Return all of them, the first too."""
    return (sweep.started, *sweep.resumed)


def last_heard_of(sweep: SweepRecord) -> float:
    """Return when the sweep ended, or the last time a session or a trial began or ended, in seconds since the epoch."""
    if sweep.finished is not None:
        return sweep.finished.time
    sessions = [sweep.started.time, *(session.time for session in sweep.resumed)]
    return max([*sessions, *(trial.ended or trial.started for trial in sweep.trials)])


def seconds_run(sweep: SweepRecord, until: float) -> float:
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


def session_notes(sweep: SweepRecord) -> tuple[str, ...]:
    """Return for each session after the first when it began, what ran in it, and what was otherwise than before."""
    return tuple(_note(sweep, place) for place in range(len(sweep.resumed)))


def moment(seconds: float) -> str:
    """Return a time as a reader would write it: "2026-11-23 03:36 UTC"."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _note(sweep: SweepRecord, place: int) -> str:
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
    return "none" if value is None else setting_value(value)
