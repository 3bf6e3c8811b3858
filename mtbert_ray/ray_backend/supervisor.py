"""Runs a sweep's sessions one after another, each in a process of its own, until one ends in order.

Ray ends the process that uses it when one of its own daemons is gone, so whoever then resumes the sweep or writes its
report must be another process. This one imports neither torch nor Ray.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from mtbert_ray.errors import JournalError, NothingLeftError, UserError
from mtbert_ray.events import (
    RUNS_AGAIN,
    EpochFinished,
    ProbeFinished,
    SweepEnd,
    SweepFinished,
    SweepResumed,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialStopped,
)
from mtbert_ray.journal import Journal, read_events, read_journal, writing_alone
from mtbert_ray.ray_backend.forwarding import Forwarding
from mtbert_ray.ray_backend.session_process import (
    CUT_OFF,
    INTERRUPTED,
    SessionOrder,
    cluster_address,
    exit_code_of,
    print_end,
)
from mtbert_ray.ray_backend.supervised import SessionEnd, run_process
from mtbert_ray.study.request import SweepRequest, resume_request

SESSION_COMMAND = (sys.executable, "-m", "mtbert_ray.ray_backend.session_process")
MAX_IN_VAIN = 3
"""Sessions in a row that are cut off without having added anything, after which none is started any more."""
_LEAST_MINUTES = 1e-3


def supervise(
    request: SweepRequest,
    *,
    address: str | None,
    verbose: bool,
    console: Console,
    command: Sequence[str] = SESSION_COMMAND,
) -> int:
    """Run a sweep, resume it by itself where it started Ray itself and was cut off, and return the exit code.

    A session that is cut off is followed by another one, as by `--resume`, unless it got a signal, or ended with a
    traceback, or is the third in a row that added nothing (`MAX_IN_VAIN`). What is left of a time budget is handed on.
    Where no other session follows, this writes the report and prints how to resume.

    Args:
        request: new, or to resume.
        address: of a running Ray cluster.
        verbose: whether Ray's and the workers' own output is shown.
        console: on stderr.
        command: of a session's process; see `run_process`.
    """
    folder, budget, started = request.folder.resolve(), request.space.time_budget_minutes, time.monotonic()
    before, in_vain = SweepSoFar.of(folder), 0
    with Forwarding() as forwarding:
        while True:
            end = run_process(command, SessionOrder(request=request, address=address, verbose=verbose), forwarding)
            if end.exit_code is not None:
                return end.exit_code
            now = SweepSoFar.of(folder)
            has_begun = now.num_sessions > before.num_sessions
            if has_begun and now.finished is not None:  # Only what comes after the last event is missing.
                return _report_end(folder, console)
            in_vain = 0 if now.milestones - before.milestones else in_vain + 1
            why_not = _why_not_again(end, now, in_vain, is_own_ray=cluster_address(address) is None)
            if forwarding.came or why_not:
                _say(console, f"{end.reason}; {why_not}" if why_not else end.reason)
                return _give_up(now, folder, console, is_interrupted=forwarding.came > 0)
            _say(console, f"{end.reason}; resuming the sweep")
            try:
                request = resume_request(folder) if has_begun else request
            except NothingLeftError:
                with writing_alone(folder):
                    Journal.reopen(folder).append(SweepFinished(reason="completed"))
                return _report_end(folder, console)
            request = _with_time_left(request, budget, time.monotonic() - started)
            before = SweepSoFar(
                num_sessions=now.num_sessions, milestones=now.milestones | before.milestones, finished=None
            )


@dataclass(frozen=True, kw_only=True)
class SweepSoFar:
    """What the journal of a sweep says of its sessions."""

    num_sessions: int
    milestones: frozenset[tuple[str, int | str]]
    """Trials with each epoch that they got to, `probe` and `ended`; the same again is no progress."""
    finished: SweepEnd | None
    """How the last session ended."""

    @classmethod
    def of(cls, folder: Path) -> "SweepSoFar":
        """Return that of the sweep in a folder; no sessions where there is none."""
        num_sessions, milestones, finished = 0, set[tuple[str, int | str]](), None
        try:
            events, _ = read_events(folder)
        except JournalError:
            events = []
        for event in events:
            match event:
                case SweepStarted() | SweepResumed():
                    num_sessions, finished = num_sessions + 1, None
                case SweepFinished():
                    finished = event.reason
                case ProbeFinished():
                    milestones.add((event.trial_id, "probe"))
                case EpochFinished():
                    milestones.add((event.trial_id, int(event.metrics.get("epoch") or 0)))
                case TrialFinished():
                    milestones.add((event.trial_id, "ended"))
                # Not those that the loss of Ray itself has ended.
                case TrialStopped() if event.kind != "sweep":
                    milestones.add((event.trial_id, "ended"))
                case TrialFailed() if event.kind not in RUNS_AGAIN:
                    milestones.add((event.trial_id, "ended"))
        return cls(num_sessions=num_sessions, milestones=frozenset(milestones), finished=finished)


def _why_not_again(end: SessionEnd, now: SweepSoFar, in_vain: int, *, is_own_ray: bool) -> str:
    if now.num_sessions == 0:
        return "it had not begun, so there is nothing to resume"
    if end.is_error:
        return "it is not resumed by itself, since that would meet the error again"
    if not is_own_ray:
        return "it is not resumed by itself, since its Ray is one that others have started"
    if in_vain == MAX_IN_VAIN:
        return f"it is not resumed by itself, since {MAX_IN_VAIN} sessions in a row have added nothing"
    return ""


def _give_up(now: SweepSoFar, folder: Path, console: Console, *, is_interrupted: bool) -> int:
    if now.num_sessions > 0:
        _write_report(folder, console, is_complete=False)
    return INTERRUPTED if is_interrupted else CUT_OFF


def _report_end(folder: Path, console: Console) -> int:
    """Write the report of a sweep whose last event is there, and return the exit code of that."""
    sweep = read_journal(folder)
    assert sweep.finished is not None, "its last event is there"
    _write_report(folder, console, is_complete=sweep.finished.reason == "completed")
    return exit_code_of(sweep.finished.reason, sum(trial.status == "finished" for trial in sweep.trials))


def _write_report(folder: Path, console: Console, *, is_complete: bool) -> None:
    from mtbert_ray.reporting.document import write_report  # It brings pandas and matplotlib.

    try:
        report = write_report(folder)
    except UserError as error:
        _say(console, str(error))
        report = None
    print_end(report, folder, is_complete=is_complete)


def _with_time_left(request: SweepRequest, minutes: float | None, seconds_spent: float) -> SweepRequest:
    if minutes is None:
        return request
    left = max(minutes - seconds_spent / 60, _LEAST_MINUTES)
    return replace(request, space=request.space.model_copy(update={"time_budget_minutes": left}))


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
