"""Collects a configuration's mistakes, each with its place: a line of its file, or an option of the command line."""

from collections.abc import Iterable, Sequence

from mtbert_ray.errors import ConfigError

KeyPath = tuple[str, ...]
"""From the top of the file down: `("search", "adapter.kind", "choice", "1")`."""

_COMMAND_LINE = 1 << 30  # Sorts after every line of a file.


class Problems:
    """The mistakes found so far, and the place of every key, so that each mistake can say where it is.

    A key is the same key however it was written, dotted or nested.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._places: dict[KeyPath, tuple[int, str]] = {}
        self._found: list[tuple[int, str]] = []

    def place_on_line(self, path: KeyPath, line: int) -> None:
        """Remember that a key stands on this line of the file, counted from 1."""
        self._places[_at_dots(path)] = (line, f"{self._file}:{line}")

    def place_on_command_line(self, path: KeyPath, option: str) -> None:
        """Remember that a key, with all below it, was set by an option instead."""
        path = _at_dots(path)
        for below in [known for known in self._places if known[: len(path)] == path]:
            del self._places[below]
        self._places[path] = (_COMMAND_LINE, option)

    def knows(self, path: KeyPath) -> bool:
        """Whether a key has a place of its own."""
        return _at_dots(path) in self._places

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

    def add(self, path: KeyPath, text: str) -> None:
        """Add a mistake at the place of a key, or of the nearest key above it."""
        line, place = self._place_of(path)
        if (line, f"{place}: {text}") not in self._found:
            self._found.append((line, f"{place}: {text}"))

    def add_all(self, mistakes: Iterable[tuple[Sequence[int | str], str]], below: KeyPath = ()) -> None:
        """Add mistakes of keys below a path."""
        for keys, text in mistakes:
            self.add((*below, *map(str, keys)), text)

    def add_option(self, option: str, text: str) -> None:
        """Add a mistake in an option itself."""
        self._found.append((_COMMAND_LINE, f"{option}: {text}"))

    def add_line(self, line: int, text: str) -> None:
        """Add a mistake of a line."""
        self._found.append((line, f"{self._file}:{line}: {text}"))

    def raise_if_any(self) -> None:
        """Raise every mistake so far, in the order of the file, those of the command line last.

        Raises:
            ConfigError: there is at least one.
        """
        if self._found:
            raise self.as_error()

    def as_error(self) -> ConfigError:
        """Return the mistakes so far, of which there is at least one, in the order of `raise_if_any`."""
        return ConfigError([text for _, text in sorted(self._found, key=lambda found: found[0])])


def _at_dots(path: KeyPath) -> KeyPath:
    return tuple(part for key in path for part in key.split("."))
