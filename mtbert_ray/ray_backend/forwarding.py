"""Hands the signals that end or suspend a command on to the process that does its work."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from mtbert_ray.ray_backend.processes import discard_output, terminals
from mtbert_ray.ray_backend.session_process import FORWARDED

_IMPATIENT = 3
"""Signals after which the process is killed."""


class Forwarding:
    """Forwards SIGINT, SIGTERM and SIGHUP to a process with a session (setsid) of its own, and suspends it on SIGTSTP.

    In a session of its own it does not get a terminal's Ctrl-C, which goes to all processes in the foreground. While
    there is no process a signal raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.came = 0
        """Signals so far."""
        self._process: subprocess.Popen[bytes] | None = None
        self._is_starting = False
        self._waiting: list[int] = []
        self._before: dict[int, Any] = {}
        self._terminals = terminals()

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup SIGHUP stays ignored.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        self._before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._suspend)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Keep what comes while a process is started, until it is known by `attach`."""
        self._is_starting = True
        try:
            yield
        finally:
            self._is_starting = False

    def attach(self, process: subprocess.Popen[bytes]) -> None:
        """Take a process, and send it what came before."""
        self._process = process
        while self._waiting:
            self._send(self._waiting.pop(0))

    def detach(self) -> None:
        """Forget the process, which has ended."""
        self._process = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.came += 1
        if number == signal.SIGHUP:
            # The terminal is gone, so writing to it would raise; and a shell that ends may send the signal again.
            signal.signal(number, signal.SIG_IGN)
            discard_output(self._terminals)
        if self._process is not None:
            self._send(number)
        elif self._is_starting:
            self._waiting.append(number)
        else:
            raise KeyboardInterrupt

    def _send(self, number: int) -> None:
        assert self._process is not None, "checked by whoever calls"
        if self.came >= _IMPATIENT:
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.send_signal(number if number == signal.SIGHUP else FORWARDED)

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)  # Comes back on SIGCONT.
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGCONT)
