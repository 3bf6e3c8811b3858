"""The append-only journal of a sweep: one JSON line an event.

Each is flushed to disk as it happens, so that a killed process loses at most the line it was writing, and a full disk
none: the last events of a session have room of their own. Lines are numbered, so that one that is missing or stands
there twice is known. `journal_lines.py` has what a line is. Some 300 lines, not split: writer and reader hold each
other.
"""

import errno
import fcntl
import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Self

from mtbert_ray.disk import disk_error, is_lack_of_room, refusal_in
from mtbert_ray.errors import DiskError, JournalError
from mtbert_ray.events import Event, SweepFinished, SweepStarted
from mtbert_ray.journal_lines import as_line, lines_of, num_lines, whole_lines
from mtbert_ray.trial import Sweep

JOURNAL_NAME = "journal.jsonl"
MAX_JOURNAL_BYTES = 1 << 30
RESERVE_NAME = "journal.reserve"
RESERVE_BYTES = 2**20
"""Enough for the ends of a thousand running trials."""
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
        self._known = (0, 0)
        """Bytes and lines after the last event; counted anew where another process has written since."""
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
        journal._known = (0, 0)
        try:
            with _open(journal._path, os.O_RDWR) as file:
                file.truncate(len(whole_lines(file.read())))
            journal._reserve.unlink(missing_ok=True)  # Of a session that was killed.
        except OSError as error:
            raise JournalError(f"{folder}: no sweep can be resumed there: {_reason(error)}") from error
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
            self._reserve.unlink(missing_ok=True)  # It may be a link, which writing would follow.
            with self._reserve.open("xb") as file:
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
            JournalError: the event is none that could be read back, as a longer one than a line may be.
            DiskError: the disk refused it. It is written all the same if the reserve had room for it; if not, it is
                lost, and every later one is refused too.
        """
        if self._refused is not None:
            raise self._refused
        self._append(event)
        if isinstance(event, SweepFinished):
            self._reserve.unlink(missing_ok=True)  # The report may need the room.

    def _append(self, event: Event) -> None:
        try:
            self._write(event)
        except OSError as error:
            refusal = refusal_in(error)
            if refusal is None:
                raise
            refused = disk_error(refusal, self._path)
            if not (is_lack_of_room(refusal) and self._write_in_reserve(event)):
                self._refused = refused
            raise refused from error

    @property
    def _reserve(self) -> Path:
        return self._path.with_name(RESERVE_NAME)

    def _write_in_reserve(self, event: Event) -> bool:
        try:
            self._reserve.unlink()
            self._write(event)
        except OSError:
            return False
        return True

    def _write(self, event: Event) -> None:
        """Write an event as a whole; what a full disk took of it is cut off, as the next line would continue it."""
        with _open(self._path, os.O_WRONLY | os.O_APPEND) as file:
            size = os.fstat(file.fileno()).st_size
            known = self._known[1] if size == self._known[0] else num_lines(self._path)
            try:
                line = as_line(event, known + 1)
            except ValueError as error:
                raise JournalError(f"{self._path}: an event cannot be written: {error}") from error
            try:
                left = line
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    file.truncate(size)
                raise
        self._known = (size + len(line), known + 1)


def _open(path: Path, flags: int) -> FileIO:
    """Open a journal for writing; a symbolic link, which may lead out of the sweep's folder, is an OSError."""
    return FileIO(os.open(path, flags | os.O_NOFOLLOW), "r+" if flags & os.O_RDWR else "a")


def _reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return f"{JOURNAL_NAME} is a symbolic link; put the file itself there"
    return error.strerror or str(error)


@contextmanager
def writing_alone(folder: Path) -> Iterator[None]:
    """Lock a sweep's journal, so that no other process resumes it; the lock ends with the process.

    Where the file system has no locks, a warning is logged.

    Raises:
        JournalError: another process runs the sweep; or there is no journal that can be written.
    """
    try:
        # An exclusive lock over NFS takes a file that is open for writing.
        file = _open(folder / JOURNAL_NAME, os.O_RDWR)
    except OSError as error:
        raise JournalError(f"{folder}: no sweep can be resumed there: {_reason(error)}") from error
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
        JournalError: there is none, it cannot be read, or it is larger than a journal can be.
    """
    path = folder / JOURNAL_NAME
    try:
        # Not blocking: a pipe of that name would wait for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        advice = "Give the folder of a sweep (its --out)"
        raise JournalError(f"{path}: cannot be read: {error.strerror}. {advice}") from error
    if not path.is_file():
        raise JournalError(f"{path}: is no file")
    if size > MAX_JOURNAL_BYTES:
        raise JournalError(f"{path}: has {size / 2**30:.1f} GiB; a journal has at most 1 GiB")
    return path


def read_journal(folder: Path, *, lenient: bool = False) -> Sweep:
    """Read the journal in a sweep's folder.

    With `lenient` what is damaged is left out, and named in `Sweep.damage`.

    Raises:
        JournalError: as of `read_events`, or an event that cannot stand where it does.
    """
    damage: list[tuple[int, str]] = []
    lines, torn = _read_lines(folder, damage, lenient=lenient)
    _, started = next(lines)
    assert isinstance(started, SweepStarted), "_read_lines checks that"
    sweep = Sweep(started=started, torn=torn)
    for place, event in lines:
        try:
            sweep.apply(event)
        except JournalError as error:
            _note(damage, folder, place, str(error), lenient=lenient)
    sweep.damage = tuple(text for _, text in sorted(damage))
    return sweep


def read_events(folder: Path) -> tuple[list[Event], bool]:
    """Return the events of a sweep's folder, the first of which is its SweepStarted, and whether a last line is torn.

    Raises:
        JournalError: no journal, a journal without its first event, a damaged line before the last, or a line that is
            missing or stands there twice.
    """
    lines, torn = _read_lines(folder, [], lenient=False)
    return [event for _, event in lines], torn


def _read_lines(
    folder: Path, damage: list[tuple[int, str]], *, lenient: bool
) -> tuple[Iterator[tuple[int, Event]], bool]:
    """Return the places and events of the lines, as they are read, and whether the last one is torn.

    What is left out if `lenient` is appended to `damage`.
    """
    path = require_journal(folder)
    content = path.read_bytes()
    whole = whole_lines(content)
    lines = lines_of(whole, lambda place, text: _note(damage, folder, place, text, lenient=lenient))
    first = next(lines, None)
    if first is None or not isinstance(first[1], SweepStarted):
        raise JournalError(f"{path}: does not begin with a sweep_started event")
    return chain([first], lines), whole != content


def _note(damage: list[tuple[int, str]], folder: Path, place: int, text: str, *, lenient: bool) -> None:
    """Note what is wrong with a line where that is left out, and raise it where not."""
    if lenient:
        damage.append((place, f"line {place}: {text}"))
        return
    advice = f"To leave such lines out of a report: python -m mtbert_ray.report --lenient {shlex.quote(str(folder))}"
    raise JournalError(f"{folder / JOURNAL_NAME}, line {place}: {text}. {advice}")
