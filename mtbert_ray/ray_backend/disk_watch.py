"""Ends a sweep in order when a disk refuses to take more, before anything else is lost."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mtbert_ray.disk import disk_error, free_bytes, refusal_in
from mtbert_ray.errors import DiskError, ResourceError, UserError
from mtbert_ray.events import Event
from mtbert_ray.ray_backend.local_ray import ray_folder
from mtbert_ray.study.study import Observer
from mtbert_ray.trial import Trial

_RAY_NEEDS = 16 * 2**20
"""Bytes of Ray's logs, sockets and session files, with which it starts."""


@contextmanager
def ray_failures_as_disk_errors() -> Iterator[None]:
    """Tell of the full disk of Ray's folder where Ray did not start, or broke off, and says no more than that.

    Raises:
        DiskError: instead of such an error.
    """
    try:
        yield
    except Exception as error:
        is_told = isinstance(error, UserError) and not isinstance(error, ResourceError)
        if is_told or free_bytes(ray_folder()) >= _RAY_NEEDS:
            raise
        raise disk_error(OSError(errno.ENOSPC, ""), ray_folder()) from error


class DiskWatch:
    """Keeps the first refusal of a disk, and ends the sweep for it.

    Inside Tune an error of ours would be turned into text and end everything at once, so none is let through. `folder`
    is the sweep's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.refused: DiskError | None = None
        """What to tell the user; None while all that was written is on disk."""
        self._end: Callable[[], None] = lambda: None

    @contextmanager
    def ending_by(self, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` on the first refusal within the block."""
        self._end = end
        try:
            yield
        finally:
            self._end = lambda: None

    def note(self, error: BaseException) -> bool:
        """End the sweep if an error is a refusal, and return whether it is one."""
        if isinstance(error, DiskError):
            refused = error
        elif (refusal := refusal_in(error)) is not None:
            refused = disk_error(refusal, self._folder, ray_folder())
        else:
            return False
        if self.refused is None:
            self.refused = refused
            self._end()
        return True

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take note of a refusal and go on behind the block; let every other error through."""
        try:
            yield
        except Exception as error:
            if not self.note(error):
                raise

    def watched(self, observer: Observer) -> Observer:
        """Return an observer of a study that takes note of refusals."""

        def observe(event: Event, trial: Trial | None) -> None:
            with self.watching():
                observer(event, trial)

        return observe
