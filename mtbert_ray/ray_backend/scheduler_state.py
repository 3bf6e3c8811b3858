"""Keeps a scheduler's state as one JSON file in the storage of its experiment.

Ray Tune restores searchers and callbacks, but no scheduler: after `Tuner.restore` it starts from nothing. For that
alone; this project's own sweeps resume from their journal, which tells their scheduler everything again.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

from pyarrow.fs import FileSystem, FileType

from mtbert_ray.errors import JournalError

# Not .json: Tune copies every file of that name aside when it restores, and back over newer ones at its next snapshot.
STATE_NAME = "pareto_scheduler.state"
STATE_VERSION = 1

_log = logging.getLogger(__name__)


class StateFile:
    """A file that is replaced whole, so that a killed process leaves the old state or the new one.

    Args:
        filesystem: where the experiment is stored, a cloud's or this machine's.
        folder: the experiment's, on that file system.
    """

    def __init__(self, filesystem: FileSystem, folder: str) -> None:
        self._filesystem = filesystem
        self.path = f"{folder.rstrip('/')}/{STATE_NAME}"
        self._failed = False

    def read(self) -> dict[str, Any] | None:
        """Return the state, or None where there is no file.

        Raises:
            JournalError: there is one that cannot be read.
        """
        if self._filesystem.get_file_info(self.path).type == FileType.NotFound:
            return None
        try:
            with self._filesystem.open_input_stream(self.path) as file:
                return parse_state(file.readall(), self.path)
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be read: {error}") from error

    def write(self, text: bytes) -> None:
        """Replace the state. Where that fails the run continues, and says so: it could not be restored from here."""
        try:
            with self._filesystem.open_output_stream(f"{self.path}.new") as file:
                file.write(text)
            self._filesystem.move(f"{self.path}.new", self.path)
            self._failed = False
        except OSError as error:
            if not self._failed:
                _log.warning("%s: the scheduler's state cannot be written, nor restored later: %s", self.path, error)
            self._failed = True


def state_text(state: Mapping[str, Any]) -> bytes:
    """Return what `parse_state` reads."""
    return json.dumps(state, separators=(",", ":")).encode()


def parse_state(text: bytes, where: str) -> dict[str, Any]:
    """Return the state that a file holds.

    Raises:
        JournalError: it is not a state of this version.
    """
    remedy = "Move the file away to go on with a scheduler that knows of no earlier result"
    try:
        state = json.loads(text)
    except ValueError as error:
        raise JournalError(f"{where}: not the state of a scheduler: {error}. {remedy}") from error
    version = state.get("version") if isinstance(state, dict) else None
    if version != STATE_VERSION:
        raise JournalError(f"{where}: has version {version!r} of a scheduler's state, not {STATE_VERSION}. {remedy}")
    return dict(state)
