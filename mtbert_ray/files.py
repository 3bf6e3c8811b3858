"""Puts files in their place whole and makes folders."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from mtbert_ray.errors import UserError

# Read once: it can only be read by setting it, for all threads of the process.
_UMASK = os.umask(0)
os.umask(_UMASK)


def put_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file next to its place, hand it to the disk, and put it in its place in one step.

    A process that is killed at any moment leaves the old file or the new one. Others may read it as the user's umask
    allows: some libraries write files that only their owner may read. `write` gets a path with another extension, so
    that what a killed process left is never taken for a file like the others.

    Raises:
        OSError: the disk refuses.
    """
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)  # It may be a link, which writing would follow.
    write(new)
    open_to_others(new)
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.replace(path)


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


def refuse_links(folder: Path, *names: str) -> None:
    """Check that what is called so in a folder is no symbolic link: what a program writes or removes stays inside.

    A folder may come from anywhere, and a link in it lead to the reader's own files. A name may have several parts.

    Raises:
        UserError: one is a link, or stands below one.
    """
    for name in names:
        path = folder
        for part in Path(name).parts:
            path /= part
            if path.is_symlink():
                raise UserError(
                    f"{path}: is a symbolic link, and nothing is written outside of {folder}; put a real "
                    f"{'file' if path.suffix else 'folder'} in its place"
                )


def empty_folder(root: Path, name: str) -> Path:
    """Return a folder below a root, new and empty; what was there is removed, and never what a link in it leads to.

    Raises:
        UserError: it stands below a symbolic link.
        OSError: the disk refuses.
    """
    folder = remove_below(root, name)
    folder.mkdir(parents=True)
    return folder


def remove_below(root: Path, name: str) -> Path:
    """Remove a file, a folder or a link below a root, and return its path; it need not be there.

    Raises:
        UserError: it stands below a symbolic link.
        OSError: the disk refuses.
    """
    path = root / name
    refuse_links(root, str(Path(name).parent))
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
    return path
