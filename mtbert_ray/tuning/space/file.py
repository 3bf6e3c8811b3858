"""Reads a search space's YAML and remembers on which line each key stands.

Knows YAML and lines; what the keys mean is for others. Everything wrong is collected in a `Problems`, so that a
user sees all mistakes at once.
"""

from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from mtbert_ray.errors import ConfigError, did_you_mean
from mtbert_ray.tuning.space.parameters import YamlValue

KeyPath = tuple[str, ...]
"""From the top of the file down: `("search", "adapter.kind", "choice", "1")`."""

_COMMAND_LINE = 1 << 30  # Sorts after every line of a file.


class Problems:
    """The mistakes found so far, and the place of every key, so that each mistake can say where it is."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._places: dict[KeyPath, tuple[int, str]] = {}
        self._found: list[tuple[int, str]] = []

    def place_on_line(self, path: KeyPath, line: int) -> None:
        """Remember that a key stands on this line of the file, counted from 1."""
        self._places[path] = (line, f"{self._file}:{line}")

    def place_on_command_line(self, path: KeyPath, option: str) -> None:
        """Remember that a key, with all below it, was set by an option instead."""
        for below in [known for known in self._places if known[: len(path)] == path]:
            del self._places[below]
        self._places[path] = (_COMMAND_LINE, option)

    def move(self, old: KeyPath, new: KeyPath) -> None:
        """Let what stands at `old` and below be found at `new`."""
        for path in [known for known in self._places if known[: len(old)] == old]:
            self._places[new + path[len(old) :]] = self._places.pop(path)

    def is_from_command_line(self, path: KeyPath) -> bool:
        """Whether a key was set by an option."""
        return self._place_of(path)[0] == _COMMAND_LINE

    def place_of(self, path: KeyPath) -> str:
        """Return the place of a key as the user knows it: `file:line` or the option."""
        return self._place_of(path)[1]

    def _place_of(self, path: KeyPath) -> tuple[int, str]:
        for length in range(len(path), 0, -1):
            if path[:length] in self._places:
                return self._places[path[:length]]
        return (0, self._file)

    def add(self, path: KeyPath, text: str) -> None:
        """Add a mistake at the place of a key, or of the nearest key above it."""
        line, place = self._place_of(path)
        if (line, f"{place}: {text}") not in self._found:
            self._found.append((line, f"{place}: {text}"))

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
            raise ConfigError([text for _, text in sorted(self._found, key=lambda found: found[0])])


def read_space_file(path: Path) -> tuple[dict[str, YamlValue], Problems]:
    """Return a file's content and the places of its keys, with duplicate keys found.

    Raises:
        ConfigError: the file cannot be read, is not YAML, is empty, or is not a mapping.
    """
    text = _text_of(path)
    try:
        root = _yaml().compose(text)
        problems = Problems(str(path))
        _remember_lines(root, (), problems, above=())
        content = _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigError([f"{path}{line}: not YAML: {error.problem or error.context}"]) from error
    except (YAMLError, ValueError, TypeError) as error:
        raise ConfigError([f"{path}: not YAML: {str(error).splitlines()[0]}"]) from error
    if content is None:
        raise ConfigError([f"{path}: is empty; a search space needs name, objectives, search and trials"])
    if not isinstance(content, dict):
        raise ConfigError([f"{path}: must be a mapping of keys to values, got {_yaml_type(content)}"])
    return {str(key): value for key, value in content.items()}, problems


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        near = did_you_mean(path.name, _yaml_names(path.parent))
        raise ConfigError([f"{path}: no such file{near}"]) from error
    except IsADirectoryError as error:
        names = ", ".join(_yaml_names(path)) or "it has none"
        raise ConfigError([f"{path}: is a folder; give one of its YAML files ({names})"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not a text file (byte {error.object[error.start]:#04x} is not UTF-8)"]) from error
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error


def _yaml_names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.yaml")) if folder.is_dir() else []


def _yaml() -> YAML:
    # YAML 1.2, in which 1e-5 is a number. Duplicate keys are looked for in `_remember_lines`, which names all of
    # them; the loader would stop at the first.
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True
    return yaml


def read_value(text: str) -> YamlValue:
    """Return a YAML value given on the command line.

    Raises:
        YAMLError: not YAML, a mapping with a duplicate key, or a value that contains itself.
    """
    _remember_lines(_yaml().compose(text), (), Problems(""), above=())
    return YAML(typ="safe", pure=True).load(text)


def _yaml_type(content: object) -> str:
    return "a list" if isinstance(content, list) else f"the single value {content!r}"


def _remember_lines(node: Node | None, path: KeyPath, problems: Problems, above: Sequence[Node]) -> None:
    if node is not None and any(node is ancestor for ancestor in above):  # An alias to its own parent.
        raise ComposerError(None, None, f"{'.'.join(path) or 'the value'} contains itself", node.start_mark)
    if isinstance(node, MappingNode):
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in first_lines:
                shown = ".".join((*path, key))
                problems.add_line(line, f"duplicate key '{shown}'; it stands on line {first_lines[key]} already")
            else:
                first_lines[key] = line
                problems.place_on_line((*path, key), line)
            _remember_lines(value_node, (*path, key), problems, (*above, node))
    elif isinstance(node, SequenceNode):
        for index, item_node in enumerate(node.value):
            problems.place_on_line((*path, str(index)), item_node.start_mark.line + 1)
            _remember_lines(item_node, (*path, str(index)), problems, (*above, node))
