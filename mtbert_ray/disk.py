"""What a disk refuses: recognized inside whatever error it comes as, and worded in one line.

A disk that is full, over its quota, read-only or failing says nothing about what was to be written: nobody's config is
wrong, and the same again works once the disk does.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtbert_ray.errors import DiskError, UserError

_NO_ROOM = "make room on that disk"
_REMEDIES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: "raise the largest size of a file that is allowed there (ulimit -f)",
    errno.EROFS: "make that disk writable",
    errno.EIO: "check that disk",
    errno.ESTALE: "mount that folder again",
}
"""Errors that are the disk's doing -> what helps."""
_CODES = re.compile(r"\[Errno (\d+)\](?: [^:'\n]*: '([^'\n]*)')?|\(os error (\d+)\)")
"""As Python, with the file if it has one, and as Rust write an error of the system into the text of another error."""
_SHORT_WRITE = re.compile(r"^\d+ requested and \d+ written$|inline_container\.cc:\d+\] \. unexpected pos \d+ vs \d+")
"""The texts, without a code, of numpy's error and of torch's after a part of a file was written."""


def refusal_in(error: BaseException) -> OSError | None:
    """Return the disk's refusal that an error is, was caused by, or has in its text; None for any other error.

    Libraries in other languages raise errors of their own, with the system's in the text.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if (found := _own_refusal(each)) is not None:
            return found
        waiting += [each.__cause__, None if each.__suppress_context__ else each.__context__]
    return None


def _own_refusal(error: BaseException) -> OSError | None:
    if isinstance(error, OSError):
        if error.errno in _REMEDIES:
            return error
        if error.errno is not None:
            return None
    found = [(int(python or rust), path or None) for python, path, rust in _CODES.findall(str(error))]
    if isinstance(error, OSError | RuntimeError) and _SHORT_WRITE.search(str(error)):
        found.append((errno.ENOSPC, None))
    return next((_refusal(code, path) for code, path in found if code in _REMEDIES), None)


def _refusal(code: int, path: str | None = None) -> OSError:
    return OSError(code, os.strerror(code), path)


def is_lack_of_room(refusal: OSError) -> bool:
    """Whether less of something else on the disk would have helped."""
    return refusal.errno in (errno.ENOSPC, errno.EDQUOT)


def free_bytes(folder: Path) -> int:
    """Return the room on the disk of a folder, which need not be there yet."""
    folder = folder.absolute()
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.is_dir())).free


def disk_error(refusal: OSError, *where: Path | str) -> DiskError:
    """Return the error to tell a user, of the file that the refusal names.

    Where it names none, `where` is what may be meant; of several folders it is the one whose disk has the least room.
    """
    assert refusal.errno is not None, "a refusal has a code"
    place = refusal.filename or (where[0] if len(where) == 1 else min(map(Path, where), key=free_bytes))
    text = f"{place}: {os.strerror(refusal.errno)}; {_REMEDIES[refusal.errno]}"
    # A file name that is not UTF-8 comes as lone surrogates, which no journal can hold.
    return DiskError(" ".join(text.encode(errors="backslashreplace").decode().split()))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let a refusal name what is being written: the error of a write, unlike that of an open, names no file.

    Raises:
        OSError: the disk refused; with the code, and the path as its `filename`.
    """
    try:
        yield
    except Exception as error:
        refusal = refusal_in(error)
        if refusal is None:
            raise
        assert refusal.errno is not None, "a refusal has a code"
        raise _refusal(refusal.errno, str(path)) from error


@contextmanager
def refusals_as_disk_errors(*where: Path) -> Iterator[None]:
    """Tell the user of a refusal in one line; errors that are in words already stay as they are.

    `where` is as for `disk_error`.

    Raises:
        DiskError: the disk refused something.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        refusal = refusal_in(error)
        if refusal is None:
            raise
        raise disk_error(refusal, *where) from error
