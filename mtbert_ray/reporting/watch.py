"""Writes a sweep's report again whenever its journal has grown, until the sweep ends."""

import time
from collections.abc import Callable
from pathlib import Path

from mtbert_ray.events import SweepFinished
from mtbert_ray.journal import JOURNAL_NAME, require_journal
from mtbert_ray.journal_lines import line_of


def watch(
    folder: Path, write: Callable[[], object], *, every_seconds: float, sleep: Callable[[float], object] = time.sleep
) -> int:
    """Call `write` now, and each time that the journal has grown, until its last event is the sweep's end.

    Between two calls are `every_seconds`, or as long as the last call took if that is longer, so that a large report
    leaves the machine to the sweep for half of the time. Returns how often `write` was called.

    Raises:
        JournalError: there is no journal; and whatever `write` raises.
    """
    written, num_written = None, 0
    while True:
        state = _state(folder)
        took = 0.0
        if state != written:
            began = time.monotonic()
            write()
            took = time.monotonic() - began
            written, num_written = state, num_written + 1
        # What was written since `state` is news still, so the end counts only if it was there before.
        if state == _state(folder) and _has_ended(folder):
            return num_written
        sleep(max(every_seconds, took))


def _state(folder: Path) -> tuple[int, int]:
    status = require_journal(folder).stat()
    return status.st_size, status.st_mtime_ns


def _has_ended(folder: Path) -> bool:
    with (folder / JOURNAL_NAME).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 4096))
        last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    try:
        return isinstance(line_of(last).event, SweepFinished)
    except ValueError:
        return False  # A longer line, or one that is being written.
