"""Processes of the operating system: whether one has ended, ending a whole session, ending together with the parent."""

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import BinaryIO

import psutil

_PR_SET_PDEATHSIG = 1


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process is gone, or has ended and is still to be waited for by its parent."""
    try:
        return not process.is_running() or process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return True


def end_session(leader: int, *, timeout_seconds: float = 10.0) -> None:
    """Kill all processes of a session of the system (setsid), whatever their groups, and wait until they are gone.

    Ray's workers have groups of their own, and another parent once their raylet is gone; the session they keep.
    """
    deadline = time.monotonic() + timeout_seconds
    # Again until there is none: one of them may just have started another.
    while (members := _session(leader)) and time.monotonic() < deadline:
        for process in members:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        psutil.wait_procs(members, timeout=1)


def _session(leader: int) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _leader_of(process) == leader and not has_ended(process)]


def _leader_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None


def end_with_parent(parent: int, never_written: BinaryIO) -> None:
    """Let this process be killed when its parent ends, however that ends.

    Args:
        parent: its process id, as the parent itself knows it.
        never_written: a pipe whose other end only the parent has. Read where the kernel has no such service.
    """
    if sys.platform == "linux":
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    else:
        threading.Thread(target=end_when_closed, args=(never_written,), daemon=True).start()
    if os.getppid() != parent:  # It ended before.
        os.kill(os.getpid(), signal.SIGKILL)


def end_when_closed(pipe: BinaryIO) -> None:
    """Kill this process once the other end of a pipe is closed."""
    pipe.read()
    os.kill(os.getpid(), signal.SIGKILL)


def terminals() -> list[int]:
    """Return which of stdout and stderr go to a terminal."""
    return [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]


def discard_output(descriptors: list[int]) -> None:
    """Discard what is written to these file descriptors from now on, as to a terminal that is gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)
