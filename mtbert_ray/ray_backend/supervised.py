"""Runs one session in a process of its own, and says how that ended. Imports neither torch nor Ray."""

import json
import os
import pickle
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

from mtbert_ray.ray_backend.forwarding import Forwarding
from mtbert_ray.ray_backend.processes import end_session, has_ended
from mtbert_ray.ray_backend.session_process import SessionOrder

_POLL_SECONDS = 1.0
_EXIT_SECONDS = 60.0
"""How long a process may take to end after its last report."""


@dataclass(frozen=True, kw_only=True)
class SessionEnd:
    """How the process of a session ended."""

    exit_code: int | None
    """None if it was cut off."""
    reason: str = ""
    """What cut it off."""
    is_error: bool = False
    """Whether it ended with a traceback, and so would again."""


def run_process(command: Sequence[str], order: SessionOrder, forwarding: Forwarding) -> SessionEnd:
    """Run a session's process until it ends, and end what it leaves behind if it was cut off.

    A process whose Ray has lost a daemon is killed: Ray itself would end it too, but up to a minute later.

    Args:
        command: gets a file descriptor for its reports and this process's id; see `session_process`.
        order: what it is to run.
        forwarding: of signals to it.
    """
    ours, theirs = os.pipe()
    try:
        with forwarding.starting():
            process = subprocess.Popen(
                [*command, str(theirs), str(os.getpid())],
                stdin=subprocess.PIPE,
                pass_fds=(theirs,),
                start_new_session=True,
            )
            forwarding.attach(process)
        os.close(theirs)
        assert process.stdin is not None, "it is a pipe"
        reports = _Reports(ours)
        with suppress(BrokenPipeError), process.stdin:  # Closed at the end: it has read everything, or has ended.
            with suppress(BrokenPipeError):
                pickle.dump(order, process.stdin)
                process.stdin.flush()
            _wait(process, reports)
        forwarding.detach()
    finally:
        os.close(ours)
    end = _end_of(process.returncode, reports)
    if end.exit_code is None:
        end_session(process.pid)
    return end


class _Reports:
    """What a session's process has reported so far, on a pipe."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._rest = b""
        self._daemons: dict[str, psutil.Process | None] = {}
        """By name; none if it had ended when it was reported."""
        self.is_open = True
        self.last: dict[str, Any] = {}
        """How it ends; empty while it runs."""

    def wait(self, seconds: float) -> None:
        """Take in what comes, for no longer than this; returns at once if something has come."""
        select.select([self._descriptor], [], [], seconds)
        self.read()

    def read(self) -> None:
        """Take in what has come."""
        with suppress(BlockingIOError):
            while content := os.read(self._descriptor, 65536):
                self._rest += content
            self.is_open = False
        *lines, self._rest = self._rest.split(b"\n")
        for report in map(json.loads, lines):
            if "daemons" in report:
                self._daemons = {name: _process(number) for name, number in report["daemons"].items()}
            else:
                self.last = report

    def lost_daemons(self) -> list[str]:
        """Return which of Ray's daemons have ended before the process said that it stops them."""
        if self._lost():
            self.read()  # It may have said so just now.
        return self._lost()

    def _lost(self) -> list[str]:
        return [name for name, process in self._daemons.items() if process is None or has_ended(process)]


def _process(number: int) -> psutil.Process | None:
    try:
        return psutil.Process(number)
    except psutil.NoSuchProcess:
        return None


def _wait(process: "subprocess.Popen[bytes]", reports: _Reports) -> None:
    """Wait for the end of a process, or end it: where Ray is lost, or if it does not end after its last report."""
    reported: float | None = None
    while process.poll() is None:
        if reports.is_open:
            reports.wait(_POLL_SECONDS)
        else:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
        if reports.last and reported is None:
            reported = time.monotonic()
        if reported is not None and time.monotonic() - reported > _EXIT_SECONDS:
            _kill(process)
        elif reported is None and (lost := reports.lost_daemons()):
            reports.last = {"lost": f"Ray on this machine ended ({', '.join(lost)})"}
            _kill(process)
    reports.read()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _end_of(status: int, reports: _Reports) -> SessionEnd:
    match reports.last:
        case {"exit_code": exit_code}:
            return SessionEnd(exit_code=exit_code)
        case {"lost": reason}:
            return SessionEnd(exit_code=None, reason=reason)
        case {"raised": _}:
            return SessionEnd(exit_code=None, reason="the sweep met an error that it does not know", is_error=True)
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
    return SessionEnd(exit_code=None, reason=f"the sweep's process {how}")
