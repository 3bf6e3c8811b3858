"""The errors a user can meet: where, what was got, what is allowed, what to do; all mistakes of a file at once.

Entry points print the message on stderr and exit with `exit_code`; they never show a traceback for one of these.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Self

KeyPath = tuple[str, ...]
"""From the top of a file down: `("search", "adapter.kind", "choice", "1")`."""
MAX_SHOWN = 160
"""Characters of a wrong value that a message shows."""
_COMMAND_LINE = 1 << 30  # Sorts after every line of a file.


class UserError(Exception):
    """A mistake the user can mend. Nothing has been started when it is raised before a run."""

    exit_code = 2


class Mistake(str):
    """One mistake of a configuration: the whole message, and what a program may ask of it.

    Args:
        message: with its place in front.
        code: its kind, which stays the same when the message is improved: `unknown_key`, `missing_key`,
            `duplicate_key`, `conflict`, `wrong_type`, `out_of_bounds`, `not_allowed`, `syntax`, `file`, `option`, or
            `invalid` for what is wrong otherwise.
        place: `file:line`, the file, or the option.
        line: of the file, from 1; None where it has none.
        key: dotted, from the top of the file; empty for the whole file.
    """

    code: str
    place: str
    line: int | None
    key: str

    def __new__(  # noqa: D102
        cls, message: str, *, code: str = "invalid", place: str = "", line: int | None = None, key: str = ""
    ) -> Self:
        self = super().__new__(cls, message)
        self.code, self.place, self.line, self.key = code, place, line, key
        return self


class ConfigError(UserError):
    """One or more mistakes in a configuration or a search space, reported all at once.

    Args:
        problems: one line a mistake, each with its place.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        assert problems, "a ConfigError names at least one problem"
        self.problems = tuple(each if isinstance(each, Mistake) else Mistake(each) for each in problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[str, ...]]]:
        # A worker's error is pickled on its way to the driver; by default its text would be taken for the problems.
        return type(self), (self.problems,)


class DataError(UserError):
    """A data file or data set that cannot be read as the task needs it."""


class ResourceError(UserError):
    """A request that the cluster could never meet."""


class EncoderError(UserError):
    """An encoder that cannot be found or is not a BERT-like encoder."""


class JournalError(UserError):
    """A journal that is missing, is not ours, or is damaged before its last line."""


class CheckpointError(UserError):
    """A checkpoint folder that is missing something or does not fit its encoder."""


class PredictionsError(UserError):
    """Kept dev predictions that are missing or damaged."""


class DiskError(UserError):
    """A disk that is full, over its quota, read-only or failing. The same again works once the disk does."""

    exit_code = 4


class DivergedError(UserError):
    """A model's weights, losses or outputs are no longer finite numbers: its predictions mean nothing."""

    exit_code = 1


class RayLostError(UserError):
    """Ray on this machine ended while a sweep ran on it. What the journal has stays, and the sweep can be resumed."""

    exit_code = 3


class NothingLeftError(JournalError):
    """A sweep that is to be resumed has no trial left to run."""


class Problems:
    """The mistakes found so far, and the place of every key, so that each mistake can name its line or its option.

    A key is the same key however it was written, dotted or nested.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._places: dict[KeyPath, tuple[int, str]] = {}
        self._found: dict[Mistake, int] = {}

    def place_on_line(self, path: KeyPath, line: int) -> None:
        """Remember that a key stands on this line of the file, counted from 1."""
        self._places[_at_dots(path)] = (line, f"{self._file}:{line}")

    def place_on_command_line(self, path: KeyPath, option: str) -> None:
        """Remember that a key, with all below it, was set by an option instead."""
        path = _at_dots(path)
        for below in [known for known in self._places if known[: len(path)] == path]:
            del self._places[below]
        self._places[path] = (_COMMAND_LINE, option)

    def is_from_command_line(self, path: KeyPath) -> bool:
        """Whether a key was set by an option."""
        return self._place_of(path)[0] == _COMMAND_LINE

    def place_of(self, path: KeyPath) -> str:
        """Return the place of a key as the user knows it: `file:line` or the option."""
        return self._place_of(path)[1]

    def _place_of(self, path: KeyPath) -> tuple[int, str]:
        path = _at_dots(path)
        if path and path not in self._places:
            # A section that is written key by key, as `adapter.rank: 4`, begins with the first of them.
            below = [place for known, place in self._places.items() if known[: len(path)] == path]
            if below:
                return min(below)
        for length in range(len(path), 0, -1):
            if path[:length] in self._places:
                return self._places[path[:length]]
        return (0, self._file)

    def add(self, path: KeyPath, text: str, code: str = "invalid", *, key: KeyPath | None = None) -> None:
        """Add a mistake at the place of a key, or of the nearest key above it; `key` is a missing one below."""
        self._add(*self._place_of(path), text, code, ".".join(path if key is None else key))

    def about(self, path: KeyPath, text: str, code: str = "invalid") -> None:
        """Add a mistake whose message begins with the dotted key."""
        self.add(path, f"{'.'.join(path)}{text}", code)

    def wrong_type(self, path: KeyPath, got: object, wanted: str) -> None:
        """Add that a key must be something else, as `a list`."""
        self.about(path, f" has {shown_briefly(got)}; must be {wanted}", "wrong_type")

    def add_option(self, option: str, text: str, code: str = "option") -> None:
        """Add a mistake in an option itself."""
        self._add(_COMMAND_LINE, option, text, code, "")

    def add_line(self, line: int, text: str, code: str, key: KeyPath) -> None:
        """Add a mistake of a line."""
        self._add(line, f"{self._file}:{line}", text, code, ".".join(key))

    def _add(self, order: int, place: str, text: str, code: str, key: str) -> None:
        line = order if 0 < order < _COMMAND_LINE else None
        self._found.setdefault(Mistake(f"{place}: {text}", code=code, place=place, line=line, key=key), order)

    @property
    def found(self) -> list[Mistake]:
        """The mistakes so far, in the order of the file, those of the command line last."""
        return [mistake for mistake, _ in sorted(self._found.items(), key=lambda found: found[1])]

    def raise_if_any(self) -> None:
        """Raise every mistake so far.

        Raises:
            ConfigError: there is at least one.
        """
        if self._found:
            raise ConfigError(self.found)


def _at_dots(path: KeyPath) -> KeyPath:
    return tuple(part for key in path for part in key.split("."))


# Words of messages


def did_you_mean(got: object, allowed: Iterable[str], *, prefix: str = "") -> str:
    """Return `"; did you mean 'x'?"` for the nearest allowed name, or an empty string when none is near.

    `prefix` stands in front of the right name in what is returned.
    """
    matches = get_close_matches(str(got), list(allowed), n=1, cutoff=0.6)
    return f"; did you mean '{prefix}{matches[0]}'?" if matches else ""


def unknown_key_hint(key: str, allowed: Sequence[str], *, prefix: str = "", near: Sequence[str] = ()) -> str:
    """Return what stands behind an unknown key: the nearest right one, and all right ones.

    `prefix` is what the key stands in, with a dot at its end; `near` are more names that may be meant, as dotted ones.
    """
    if "" in (parts := key.split(".")):
        named = ".".join(filter(None, parts))
        hint = f": a part of it is empty; write '{prefix}{named}'" if named else ": a key needs a name"
    elif is_number(key):
        hint = ": a number, and keys are names"
    else:
        hint = did_you_mean(key, near or allowed, prefix=prefix)
    if not hint and (joined := key.partition(":"))[1] and joined[0] in allowed:
        hint = f"; the colon needs a space behind it: '{joined[0]}: {joined[2]}'"
    return f"{hint} ({', '.join(allowed)})" if allowed else hint


def key_text(key: Any) -> str:  # noqa: ANN401  # Whatever YAML takes for a key.
    """Return a key as YAML would have it."""
    if isinstance(key, tuple):
        return f"[{', '.join(map(key_text, key))}]"
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return str(key)


def is_number(key: str) -> bool:
    """Whether a key is a number, whose dot parts no names."""
    return re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", key, re.IGNORECASE) is not None


def shown(value: object) -> str:
    """Return a value as YAML would have it."""
    if isinstance(value, str):
        return f"'{''.join(char if char.isprintable() else _escaped(char) for char in value)}'"
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key_text(key)}: {shown(item)}' for key, item in value.items())}}}"
    if value is None or isinstance(value, bool):
        return key_text(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def shown_briefly(value: object) -> str:
    """Return a wrong value as YAML would have it, cut where it is long."""
    text = shown(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")
