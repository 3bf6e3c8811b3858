"""Puts files in their place whole and makes folders."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mtbert_ray.disk import naming
from mtbert_ray.errors import UserError

# Read once: it can only be read by setting it, for all threads of the process.
_UMASK = os.umask(0)
os.umask(_UMASK)


def put_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file next to its place, hand it to the disk, and put it in its place in one step.

    A process that is killed at any moment leaves the old file or the new one. Others may read it as the user's umask
    allows: some libraries write files that only their owner may read. `write` gets a path with another extension, so
    that what a killed process left is never taken for a file like the others. What a full disk took of it is removed.

    Raises:
        OSError: the disk refuses, also where `write` raised another error for that; its `filename` is the path.
    """
    new = path.with_name(path.name + ".new")
    with naming(path):
        try:
            write(new)
            open_to_others(new)
            with new.open("rb") as file:
                os.fsync(file.fileno())
            new.replace(path)
        except Exception:
            with suppress(OSError):
                new.unlink()
            raise


def open_to_others(path: Path) -> None:
    """Give a file the permissions that a new one has by default."""
    path.chmod(0o666 & ~_UMASK)


def make_folder(folder: Path, where: str) -> None:
    """Make a folder, with those above it, unless it is there already.

    Raises:
        UserError: it cannot be made; the message begins with `where`, as `--out runs/mine`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        # Not Path.is_file, which raises for a name that is too long.
        file = next((path for path in (folder, *folder.parents) if os.path.isfile(path)), None)  # noqa: PTH113
        if file == folder:
            raise UserError(f"{where}: is a file; give a folder") from error
        reason = error.strerror if file is None else f"{file} is a file"
        raise UserError(f"{where}: no folder can be made there: {reason}") from error


def refuse_used_folder(out: Path) -> None:
    """Raise a UserError for a folder of --out that holds something already."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file; give a folder")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out}: is not empty; give a folder of its own")
