"""The append-only journal of a sweep: one JSON line an event.

Each is flushed to disk as it happens, so that a killed process loses at most the line it was writing, and a full disk
none: the last events of a session have room of their own.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from mtbert_ray.deprecated import current_event, mentions_old_names
from mtbert_ray.disk import disk_error, is_lack_of_room, refusal_in
from mtbert_ray.errors import DiskError, JournalError
from mtbert_ray.events import Event, SweepFinished, SweepStarted
from mtbert_ray.trial import Sweep

JOURNAL_NAME = "journal.jsonl"
RESERVE_NAME = "journal.reserve"
RESERVE_BYTES = 2**20
"""Enough for the ends of a thousand running trials."""
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_log = logging.getLogger(__name__)


class Journal:
    """Appends events to a new journal in a folder. One process writes; anybody may read at any time.

    Raises:
        JournalError: the folder is not empty, or cannot be written.
        DiskError: the disk has no room for it, or fails.
    """

    _refused: DiskError | None = None
    """Why an event was not written; then none after it is, as it might be of a trial whose start is missing."""

    def __init__(self, folder: Path) -> None:
        refuse_used_folder(folder)
        self._path = folder / JOURNAL_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._path.touch(exist_ok=False)
        except OSError as error:
            if (refusal := refusal_in(error)) is not None:
                raise disk_error(refusal, self._path) from error
            raise JournalError(f"{folder}: no sweep can be written there: {error.strerror}") from error

    @classmethod
    def reopen(cls, folder: Path) -> Self:
        """Open the journal of a sweep that is resumed, and drop a last line that was cut off.

        Raises:
            JournalError: there is none, or it cannot be written.
        """
        journal = cls.__new__(cls)
        journal._path = folder / JOURNAL_NAME
        try:
            with journal._path.open("r+b") as file:
                file.truncate(len(_whole_lines(file.read())))
            journal._reserve.unlink(missing_ok=True)  # Of a session that was killed.
        except OSError as error:
            raise JournalError(f"{folder}: no sweep can be resumed there: {error.strerror}") from error
        return journal

    def begin(self, event: SweepStarted) -> None:
        """Write the first event; where the disk refuses it, nothing is left, so that the same folder can be used again.

        Raises:
            DiskError: the disk refused it.
        """
        try:
            self.append(event)
        except DiskError:
            with suppress(OSError):
                self._path.unlink()
            raise

    @contextmanager
    def reserving(self) -> Iterator[None]:
        """Keep room on the disk for the events that end a session, in a file that is removed when they need it.

        Raises:
            DiskError: there is not even that much room; a journal without an event is removed.
        """
        try:
            self._reserve_room()
            yield
        finally:
            with suppress(OSError):
                self._reserve.unlink(missing_ok=True)

    def _reserve_room(self) -> None:
        try:
            with self._reserve.open("wb") as file:
                # A file system that compresses would keep no room for zeros.
                file.write(os.urandom(RESERVE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            refusal = refusal_in(error)
            if refusal is None:
                raise
            with suppress(OSError):
                if self._path.stat().st_size == 0:
                    self._path.unlink()
            raise disk_error(refusal, self._reserve) from error

    def append(self, event: Event) -> None:
        """Write one event and hand it to the disk, or write nothing of it.

        Raises:
            DiskError: the disk refused it. It is written all the same if the reserve had room for it; if not, it is
                lost, and every later one is refused too.
        """
        if self._refused is not None:
            raise self._refused
        self._append(event)
        if isinstance(event, SweepFinished):
            self._reserve.unlink(missing_ok=True)  # The report may need the room.

    def _append(self, event: Event) -> None:
        line = event.model_dump_json().encode() + b"\n"
        try:
            self._write(line)
        except OSError as error:
            refusal = refusal_in(error)
            if refusal is None:
                raise
            told = disk_error(refusal, self._path)
            if not (is_lack_of_room(refusal) and self._write_in_reserve(line)):
                self._refused = told
            raise told from error

    @property
    def _reserve(self) -> Path:
        return self._path.with_name(RESERVE_NAME)

    def _write_in_reserve(self, line: bytes) -> bool:
        try:
            self._reserve.unlink()
            self._write(line)
        except OSError:
            return False
        return True

    def _write(self, line: bytes) -> None:
        """Write a line as a whole; what a full disk took of it is cut off, as the next line would continue it."""
        with self._path.open("ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                left = line
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    file.truncate(size)
                raise


@contextmanager
def writing_alone(folder: Path) -> Iterator[None]:
    """Lock a sweep's journal, so that no other process resumes it; the lock ends with the process.

    Where the file system has no locks, a warning is logged.

    Raises:
        JournalError: another process runs the sweep; or there is no journal that can be written.
    """
    try:
        # An exclusive lock over NFS takes a file that is open for writing.
        file = (folder / JOURNAL_NAME).open("r+b")
    except OSError as error:
        raise JournalError(f"{folder}: no sweep can be resumed there: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalError(f"{folder}: another process is running this sweep") from error
        except OSError as error:
            _log.warning("%s: cannot be guarded against a second process on the same sweep: %s", folder, error)
        yield


def refuse_used_folder(folder: Path) -> None:
    """Check that a folder can take a new sweep: it is empty, or there is none yet.

    Raises:
        JournalError: it holds a sweep or anything else, or it is a file.
    """
    if (folder / JOURNAL_NAME).exists():
        raise JournalError(f"{folder} already holds the journal of a sweep; give --out another folder")
    if folder.exists() and not folder.is_dir():
        raise JournalError(f"{folder} is a file; give --out a folder")
    if folder.exists() and any(folder.iterdir()):
        raise JournalError(f"{folder} is not empty; give --out a folder of its own")


def require_journal(folder: Path) -> Path:
    """Return the path of the journal in a sweep's folder.

    Raises:
        JournalError: there is none, or it cannot be read.
    """
    path = folder / JOURNAL_NAME
    try:
        path.open("rb").close()
    except OSError as error:
        advice = "Give the folder of a sweep (its --out)"
        raise JournalError(f"{path}: cannot be read: {error.strerror}. {advice}") from error
    return path


def read_journal(folder: Path) -> Sweep:
    """Read the journal in a sweep's folder.

    Raises:
        JournalError: as of `read_events`, or an event that cannot stand where it does.
    """
    (started, *later), torn = read_events(folder)
    assert isinstance(started, SweepStarted), "read_events checks that"
    sweep = Sweep(started=started, torn=torn)
    for event in later:
        try:
            sweep.apply(event)
        except JournalError as error:
            raise JournalError(f"{folder / JOURNAL_NAME}: {error}") from error
    return sweep


def read_events(folder: Path) -> tuple[list[Event], bool]:
    """Return the events of a sweep's folder, the first of which is its SweepStarted, and whether a last line is torn.

    Raises:
        JournalError: no journal, a journal without its first event, or a damaged line before the last.
    """
    path = require_journal(folder)
    content = path.read_bytes()
    whole = _whole_lines(content)
    events: list[Event] = []
    # Not splitlines: JSON leaves line separators such as U+2028 in a text as they are.
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            events.append(_event_of(line))
        except ValueError as error:
            raise JournalError(f"{path}, line {number}: not an event of a sweep: {error}") from error
    if not events or not isinstance(events[0], SweepStarted):
        raise JournalError(f"{path}: does not begin with a sweep_started event")
    return events, whole != content


def _whole_lines(content: bytes) -> bytes:
    """Return all but a last line that has no end or is no event."""
    whole = content[: content.rfind(b"\n") + 1]
    if whole == content:
        before = content.rfind(b"\n", 0, -1) + 1
        try:
            _event_of(content[before:])
        except ValueError:
            return content[:before]
    return whole


def _event_of(line: bytes) -> Event:
    """Return the event of a line; raises a ValueError of JSON, of its encoding or of pydantic."""
    content = json.loads(line)
    return _EVENT.validate_python(current_event(content) if mentions_old_names(line) else content)
