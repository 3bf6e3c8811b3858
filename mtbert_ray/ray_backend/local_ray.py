"""A Ray of this machine for one session of a sweep: started on 127.0.0.1, with its files in a folder of its own.

What of Ray listens on other addresses all the same is in docs/reliability.md.
"""

import fcntl
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import ray

from mtbert_ray import compat
from mtbert_ray.errors import RayLostError, ResourceError
from mtbert_ray.ray_backend.processes import has_ended

DAEMONS = ("gcs_server", "raylet")
"""The processes without which a Ray of one machine cannot go on, by their names."""
_PREFIX = "mtbert-"
_INSIDE = "ray"
_SOCKET = f"/{_INSIDE}/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path that Ray adds."""
_SOCKET_LIMIT = 107 if sys.platform == "linux" else 103
"""Bytes in the path of a Unix socket."""
_NEW_SECONDS = 60.0
_log = logging.getLogger(__name__)


@contextmanager
def local_ray(*, init: Callable[..., object] = ray.init, **options: Any) -> Iterator[dict[str, int]]:  # noqa: ANN401
    """Start Ray on this machine and stop it at the end; give the names and process ids of its daemons.

    A start that fails is repeated once, with a line in the log.

    Args:
        init: starts Ray.
        options: of `ray.init`.

    Raises:
        ResourceError: Ray did not start, twice.
        RayLostError: in place of any other error, if one of the daemons has ended.
        OSError: its folder cannot be made.
    """
    with _own_folder() as folder:
        try:
            # Ray opens the folder that it is given to all users, so it gets one inside.
            others = set(psutil.Process().children())
            _start(init, {**options, "_temp_dir": str(folder / _INSIDE)})
            _close_token_file()
            daemons = _daemons(others)
            with _told_if_lost(daemons):
                yield {name: process.pid for process, name in daemons.items()}
        finally:
            # Its processes must be gone before its folder is removed.
            ray.shutdown(wait_for_processes=True)


def _daemons(others: set[psutil.Process]) -> dict[psutil.Process, str]:
    """Return Ray's daemons among the children of this process that are not these others."""
    found = {}
    for process in set(psutil.Process().children()) - others:
        with suppress(psutil.NoSuchProcess):  # Another child, which has just ended.
            if (name := process.name()) in DAEMONS:
                found[process] = name
    return found


@contextmanager
def _told_if_lost(daemons: dict[psutil.Process, str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if lost := [name for process, name in daemons.items() if has_ended(process)]:
            raise RayLostError(f"Ray on this machine ended ({', '.join(lost)})") from error
        raise


def _start(init: Callable[..., object], options: dict[str, Any]) -> None:
    before, begun = set(psutil.Process().children()), time.monotonic()
    try:
        _start_once(init, options)
        return
    except ValueError as error:  # Of its arguments.
        raise ResourceError(f"Ray did not start on this machine: {error}") from error
    except Exception as error:  # Ray raises plain ones for a start that takes too long.
        seconds, reason = time.monotonic() - begun, _first_line(error)
    _log.warning("Ray did not start within %.0f s: %s; trying once more", seconds, reason)
    _end(set(psutil.Process().children()) - before)
    try:
        _start_once(init, options)
    except Exception as error:
        raise ResourceError(f"Ray did not start on this machine, twice: {_first_line(error)}") from error


def _start_once(init: Callable[..., object], options: dict[str, Any]) -> None:
    with _ignoring_hangups(), compat.ray_on_loopback():
        init(address="local", **options)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _end(processes: set[psutil.Process]) -> None:
    """End what a start that failed has left."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=10)


@contextmanager
def _ignoring_hangups() -> Iterator[None]:
    """Let Ray's processes, which inherit it, ignore that the terminal is closed; the sweep then ends them in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _close_token_file() -> None:
    """Keep the token that Ray wrote for this cluster from other users of the machine (Ray leaves it readable)."""
    token = Path.home() / ".ray" / "auth_token"
    if token.exists():
        token.chmod(0o600)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Give a new folder for Ray's logs and sockets that no other user can enter; remove it, and what others have left.

    Its lock ends with this process, however that ends, so the next start knows what nobody needs any more.
    """
    base = temporary_folder()
    remove_leftovers(base)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))  # Mode 0700.
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def temporary_folder() -> Path:
    """Return the folder that Ray's is made in: RAY_TMPDIR or the system's, /tmp where that has too long a path.

    Raises:
        ResourceError: the path of RAY_TMPDIR is too long for Ray's sockets.
    """
    longest = _SOCKET_LIMIT - len(f"/{_PREFIX}12345678{_SOCKET}")
    chosen = os.environ.get("RAY_TMPDIR")
    folder = Path(chosen or tempfile.gettempdir()).resolve()
    if len(os.fsencode(folder)) <= longest:
        return folder
    if chosen:
        raise ResourceError(f"RAY_TMPDIR {folder}: too long a path for Ray's sockets; at most {longest} bytes")
    return Path("/tmp").resolve()


def ray_folder() -> Path:
    """Return the folder below which Ray keeps its files on this machine, also where it cannot start there."""
    try:
        return temporary_folder()
    except ResourceError:
        return Path(os.environ["RAY_TMPDIR"])


def remove_leftovers(base: Path) -> None:
    """Remove the folders of this user's killed sweeps; those in use and other users' stay."""
    for folder in base.glob(f"{_PREFIX}*"):
        try:
            if not folder.is_symlink() and folder.is_dir() and folder.stat().st_uid == os.getuid():
                _remove_unless_used(folder)
        except OSError:
            continue  # Another start has removed it meanwhile.


def _remove_unless_used(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Made by a start that has yet to lock it.
        is_new = not any(folder.iterdir()) and time.time() - folder.stat().st_mtime < _NEW_SECONDS
        if not is_new:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
