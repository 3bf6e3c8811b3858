"""Signs of life of a run: a file that a thread rewrites while the run trains, scores or loads."""

import json
import logging
import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

_log = logging.getLogger(__name__)
SIGN_FILES = "heartbeat-*.json"
"""In a trial's folder, one a rank."""
_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One sign of life of a rank."""

    count: int
    """Of the signs so far: one that stays the same says that the process does not run, whatever its clock."""
    step: int
    """Optimizer steps taken."""
    seconds_since_step: float
    longest_pause: float
    """Between two steps so far, scoring included, in seconds."""
    is_waiting: bool
    """Whether the run waits for the sweep to take a result, which may take as long as it likes."""
    where: str
    """Where the run stands, as `training/loop.py:210 in _take_steps`."""
    node: str
    """The node's name."""
    node_id: str
    """Its id in the cluster."""
    pid: int
    created: float
    """When the process was, in seconds since the epoch: ids of processes are used again."""


class Heartbeat:
    """Writes a rank's signs of life from a thread of its own, until it is closed.

    Args:
        folder: of the trial; made if it is not there.
        rank: of this process.
        node_id: of this node in the cluster.
        seconds: between two signs.
        clock: monotonic seconds.

    The thread that makes it is the one that is watched.
    """

    def __init__(
        self,
        folder: Path,
        rank: int = 0,
        *,
        node_id: str = "",
        seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = sign_file(folder, rank)
        self._seconds = seconds
        self._node_id, self._created = node_id, psutil.Process().create_time()
        self._clock = clock
        self._watched = threading.get_ident()
        self._count = self._step = 0
        self._longest = 0.0
        self._at = clock()
        self._is_waiting = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def on_step(self, step: int, total_steps: int) -> None:
        """Take note of an optimizer step, as `on_step` of a TrainingRun."""
        self._note_pause()
        self._step = step

    def wait(self) -> None:
        """Take note that the run waits for the sweep from now on: that is no pause, but the scoring before it is."""
        self._note_pause()
        self._is_waiting = True

    def work(self) -> None:
        """Take note that the run waits no more."""
        self._is_waiting, self._at = False, self._clock()

    def _note_pause(self) -> None:
        now = self._clock()
        if self._step > 0:  # What came before the first step is loading.
            self._longest = max(self._longest, now - self._at)
        self._at = now

    def close(self) -> None:
        """End the thread and remove the file."""
        self._closed.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _beat(self) -> None:
        is_told = False
        while not self._closed.wait(0 if self._count == 0 else self._seconds):
            try:
                self._write()
            except OSError as error:  # As a full disk: the run must not end for it, and the next may find room.
                if not is_told:
                    _log.warning("%s: a sign of life could not be written: %s", self._path, error)
                is_told = True

    def _write(self) -> None:
        self._count += 1
        sign = Sign(
            count=self._count,
            step=self._step,
            seconds_since_step=self._clock() - self._at,
            longest_pause=self._longest,
            is_waiting=self._is_waiting,
            where=_where(self._watched),
            node=platform.node(),
            node_id=self._node_id,
            pid=os.getpid(),
            created=self._created,
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(asdict(sign)), encoding="utf-8")
        new.replace(self._path)


def sign_file(folder: Path, rank: int) -> Path:
    """Return the file of a rank's signs of life in its trial's folder."""
    return folder / f"heartbeat-{rank}.json"


def read_signs(folder: Path) -> list[Sign]:
    """Return the last sign of each rank in a trial's folder; none of a rank whose file cannot be read."""
    signs = []
    for path in sorted(folder.glob(SIGN_FILES)):
        try:
            signs.append(Sign(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            continue  # Just removed, or of another version.
    return signs


def _where(thread: int) -> str:
    """Return where a thread stands: the innermost line of this package, or of any if it is in none."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return "ended"
    stack = traceback.extract_stack(frame)
    own = [line for line in stack if line.filename.startswith(str(_PACKAGE))] or list(stack)
    line, name = own[-1], own[-1].filename.removeprefix(f"{_PACKAGE}/")
    return f"{name}:{line.lineno} in {line.name}"
