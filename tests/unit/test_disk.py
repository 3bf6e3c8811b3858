"""What a disk refuses is told from other errors, whichever library raises it, and told in one line."""

import errno
import os
import pickle
from pathlib import Path

import pytest

from mtbert_ray.disk import disk_error, naming, refusal_in, refusals_as_disk_errors
from mtbert_ray.errors import DataError, DiskError
from mtbert_ray.files import put_file

CODES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.ESTALE)
FULL = os.strerror(errno.ENOSPC)


def refusal(code: int = errno.ENOSPC, path: str | None = None) -> OSError:
    return OSError(code, os.strerror(code), path)


def caused_by(cause: BaseException, error: BaseException, *, plainly: bool = True) -> BaseException:
    """An error with another as its cause, or as what was being handled."""
    try:
        try:
            raise cause
        except type(cause):
            if plainly:
                raise error from cause
            raise error  # noqa: B904  # As library code does.
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda error: error,
        lambda error: caused_by(error, RuntimeError("unexpected pos 64 vs 0")),
        lambda error: caused_by(error, RuntimeError("unexpected pos 64 vs 0"), plainly=False),
        lambda error: DataError(f"the cache cannot be written: {error}"),
        lambda error: ValueError(f"Error while serializing: I/O error: {error.strerror} (os error {error.errno})"),
        lambda error: RuntimeError(f"Traceback (most recent call last):\n  File x\nOSError: {error}\n"),
        lambda error: pickle.loads(pickle.dumps(error)),
    ],
)
def test_a_refusal_is_found_in_what_a_library_makes_of_it(code, wrap):
    found = refusal_in(wrap(refusal(code)))
    assert found is not None and (found.errno, found.strerror) == (code, os.strerror(code))


@pytest.mark.parametrize(
    "error",
    [
        OSError("100000 requested and 4096 written"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
    ],
)
def test_what_was_written_in_part_is_a_refusal(error):
    """Of numpy and torch, on a disk without room; both name no code."""
    assert refusal_in(error).errno == errno.ENOSPC
    assert refusal_in(type(error)(f"not quite: {str(error)[:-8]}")) is None
    assert refusal_in(ValueError(str(error))) is None


@pytest.mark.parametrize(
    "error",
    [
        OSError(),
        OSError("closed"),
        PermissionError(errno.EACCES, "Permission denied"),
        FileNotFoundError(errno.ENOENT, f"{FULL} [Errno 28]"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        ValueError(28),
        ValueError("[Errno 2] No such file"),
        ValueError("Errno 28, os error 28"),
        KeyboardInterrupt(),
    ],
)
def test_no_other_error_is_taken_for_one(error):
    assert refusal_in(error) is None
    with pytest.raises(type(error)) as caught, refusals_as_disk_errors(Path("out")), naming("file"):
        raise error
    assert caught.value is error


def test_an_error_that_hides_what_it_replaced_is_judged_by_itself():
    try:
        try:
            raise refusal()
        except OSError:
            raise ValueError("something else") from None
    except ValueError as error:
        assert refusal_in(error) is None


def test_errors_that_cause_each_other_are_no_endless_search():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert refusal_in(first) is None


@pytest.mark.parametrize("code", CODES)
def test_the_line_names_the_file_or_else_what_was_to_be_written(code, message_snapshot):
    told = disk_error(refusal(code, "out/model"), "elsewhere")
    assert str(told).startswith(f"out/model: {os.strerror(code)}; ") and told.exit_code == 4
    assert str(disk_error(refusal(code), "elsewhere")).startswith("elsewhere: ")
    message_snapshot(f"disk {errno.errorcode[code]}", str(told))


def test_the_line_is_one_that_a_journal_can_hold():
    text = str(disk_error(refusal(path="a\nb/\udcff.csv"), ""))
    assert len(text.splitlines()) == 1 and text.encode().startswith(rb"a b/\udcff.csv: ")


def test_a_command_s_error_is_told_and_what_is_in_words_already_stays():
    with pytest.raises(DiskError, match=f"^out: {FULL}; "), refusals_as_disk_errors(Path("out")):
        raise refusal()
    inner = DataError(f"mine: {refusal()}")
    with pytest.raises(DataError) as caught, refusals_as_disk_errors(Path("out")):
        raise inner
    assert caught.value is inner


def test_a_file_that_finds_no_room_is_named_and_leaves_nothing(tmp_path):
    path = tmp_path / "weights"
    path.write_text("old")

    def write(new):
        new.write_text("half")
        raise ValueError(f"I/O error: {FULL} (os error 28)")

    with pytest.raises(OSError, match=FULL) as caught:
        put_file(path, write)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_real_device_without_room_is_recognized(tmp_path):
    with pytest.raises(OSError) as caught, naming(tmp_path), open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
        full.write(b"x")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path))
