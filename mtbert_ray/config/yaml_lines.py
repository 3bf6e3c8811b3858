"""Reads YAML and remembers on which line each key and each item of a list stands; reads `--set KEY=VALUE` as well.

Everything wrong is collected in a `Problems`, so that a user sees all mistakes at once. Names of earlier versions
become today's, each with a warning.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mtbert_ray.config.yaml_syntax import cut, syntax_mistake
from mtbert_ray.deprecated import current_key, current_value
from mtbert_ray.errors import ConfigError, KeyPath, Mistake, Problems, did_you_mean, key_text

MAX_FILE_BYTES = 1 << 20
"""Of a configuration. What is larger is a data file by mistake, and would take minutes to be parsed."""
MAX_VALUES = 100_000
"""Keys and values of a configuration with all aliases (*) written out: a few lines of them can stand for billions."""
MAX_DIGITS = 1000
"""Of a number. Python refuses to show one of thousands."""
MAX_DEPTH = 100
"""Of lists and mappings inside each other."""


def read_yaml_mapping(path: Path, *, needed: str = "") -> tuple[dict[str, Any], Problems]:
    """Return a file's keys and values and the places of the keys, with duplicate keys among the mistakes found.

    `needed` is what it must hold, for the message about an empty file.

    Raises:
        ConfigError: the file cannot be read, is not YAML, is empty, or is not a mapping.
    """
    text = text_of(path)
    problems = Problems(str(path))
    content = _parsed(text, str(path), problems)
    if content is None:
        raise _no_config(path, f"is empty{f'; {needed}' if needed else ''}")
    if not isinstance(content, dict):
        raise _no_config(path, f"must be a mapping of keys to values, got {_yaml_type(content)}", line=1)
    return {key_text(key): value for key, value in content.items()}, problems


def read_yaml_text(text: str) -> dict[str, Any]:
    """Return the keys and values of a text that was read from a file before."""
    content = _parsed(text, "", Problems(""))
    return content if isinstance(content, dict) else {}


def read_assignments(texts: Iterable[str], problems: Problems) -> Iterator[tuple[str, str, Any]]:
    """Yield option, dotted key and value of each `KEY=VALUE`, as --set takes it; the value is read as YAML."""
    for text in texts:
        option = f"--set {text}"
        written, equals, value = text.partition("=")
        key: KeyPath = ()
        for part in written.strip().split("."):
            key = (*key, current_key(key, part))
        if not equals or not written.strip():
            problems.add_option(option, "must be KEY=VALUE, as in --set epochs=3")
            continue
        found = Problems(option)
        try:
            read = _parsed(value, option, found, key, is_option=True)
            found.raise_if_any()
        except ConfigError as error:
            for each in error.problems:
                problems.add_option(option, each.removeprefix(f"{option}: "), each.code)
        else:
            yield option, ".".join(key), read


def _parsed(text: str, where: str, problems: Problems, key: KeyPath = (), *, is_option: bool = False) -> Any:  # noqa: ANN401
    # YAML 1.2, in which 1e-5 is a number. Duplicate keys are looked for by `_LineReader`, which names all of them.
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # The later one counts; that is YAML.
            root = yaml.compose(text)
        if root is None:
            return None
        _LineReader(problems, key, yaml.constructor, is_option=is_option).read(root, (), ())
        return yaml.constructor.construct_document(root)
    except (YAMLError, RecursionError) as error:
        mistake = syntax_mistake(text, error)
        if is_option or not mistake.quoted:  # An option is quoted as its own place.
            place, message, line = where, mistake.message, None
        else:
            place, line = f"{where}:{mistake.line}:{mistake.column}", mistake.line
            message = f"{mistake.message}, in {mistake.quoted}"
        raise ConfigError([Mistake(f"{place}: {message}", code="syntax", place=place, line=line)]) from error


def _parts(node: Node) -> Sequence[Node]:
    return node.value if isinstance(node, SequenceNode) else (node,)


def text_of(path: Path) -> str:
    """Return the text of a YAML file.

    Raises:
        ConfigError: it cannot be read, is too large, or is no text.
    """
    try:
        if path.is_dir():
            names = ", ".join(_yaml_names(path)) or "it has none"
            raise _no_config(path, f"is a folder; give one of its YAML files ({names})")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise _no_config(path, f"has {size / 1e6:.0f} MB, so it is no configuration; give a YAML file")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        near = did_you_mean(path.name, _yaml_names(path.parent))
        raise _no_config(path, f"no such file{near}") from error
    except UnicodeDecodeError as error:
        raise _no_config(path, f"not a text file (byte {error.object[error.start]:#04x} is not UTF-8)") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _no_config(path, f"cannot be read: {reason}") from error


def _no_config(path: Path, text: str, *, line: int | None = None) -> ConfigError:
    place = str(path) if line is None else f"{path}:{line}"
    return ConfigError([Mistake(f"{place}: {text}", code="file", place=place, line=line)])


def _yaml_names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.yaml")) if folder.is_dir() else []


def _yaml_type(content: object) -> str:
    if isinstance(content, list):
        return "a list; take out the '- ' in front of the keys"
    text = str(content)
    shown = repr(text if len(text) <= 60 else f"{text[:60]}...") if isinstance(content, str) else repr(content)
    return f"the single value {shown}; between a key and its value stand a colon and a space, as in 'epochs: 3'"


class _LineReader:
    """Walks what the parser has made of a text, before aliases become shared objects."""

    def __init__(self, problems: Problems, key: KeyPath, constructor: SafeConstructor, *, is_option: bool) -> None:
        self._problems = problems
        self._key = key
        self._constructor = constructor
        self._is_option = is_option
        self._num_values = 0

    def read(self, node: Node, path: KeyPath, above: Sequence[Node]) -> None:
        """Remember the lines of everything below a node; raises a ComposerError for what has no end."""
        if any(node is ancestor for ancestor in above):  # An alias to its own parent.
            raise ComposerError(None, None, "contains itself", node.start_mark)
        self._num_values += 1
        if self._num_values > MAX_VALUES:
            self._refuse(node, f"it has more than {MAX_VALUES} values, its aliases (*) written out")
        if len(above) > MAX_DEPTH:
            self._refuse(node, f"lists and mappings stand inside each other more than {MAX_DEPTH} deep")
        if isinstance(node, ScalarNode):
            self._value_of(node)
        if isinstance(node, MappingNode):
            self._read_mapping(node, path, above)
        elif isinstance(node, SequenceNode):
            for index, item_node in enumerate(node.value):
                below = (*path, str(index))
                self._problems.place_on_line(below, item_node.start_mark.line + 1)
                self.read(item_node, below, (*above, node))

    def _read_mapping(self, node: MappingNode, path: KeyPath, above: Sequence[Node]) -> None:
        first_lines: dict[str, int] = {}
        merged = [value for key, value in node.value if key.value == "<<"]
        for value_node in (
            part for value in merged for part in _parts(value)
        ):  # First, so that the mapping's own keys have their own lines.
            self.read(value_node, path, (*above, node))
        for key_node, value_node in node.value:
            if key_node.value == "<<":
                continue
            if not isinstance(key_node, ScalarNode):
                self.read(key_node, (*path, "?"), (*above, node))
            self._rename(key_node, value_node, path)
            key, line = self._key_of(key_node), key_node.start_mark.line + 1
            below = (*path, key)
            if key in first_lines:
                self._add_duplicate(below, line, first_lines[key])
            else:
                first_lines[key] = line
                self._problems.place_on_line(below, line)
            self.read(value_node, below, (*above, node))

    def _key_of(self, node: Node) -> str:
        """Return a key as `key_text` has it once it is read."""
        if isinstance(node, SequenceNode):
            return f"[{', '.join(map(self._key_of, node.value))}]"
        return key_text(self._value_of(node)) if isinstance(node, ScalarNode) else str(node.value)

    def _value_of(self, node: ScalarNode) -> Any:  # noqa: ANN401  # Any value of YAML.
        """Return what a scalar stands for; one that looks like a number or a date and is none is a mistake."""
        if len(node.value) > MAX_DIGITS and str(node.tag).rpartition(":")[2] in ("int", "float"):
            self._refuse(node, f"a number of more than {MAX_DIGITS} digits; if it is a text, put it into quotes")
        try:
            return self._constructor.construct_object(node)
        except YAMLError:
            raise
        except Exception:  # The parser raises anything.
            text = f"'{cut(node.value)}' looks like a date or a number and is none; put it into quotes"
            if self._is_option:
                self._problems.add((), text, "syntax")
            else:
                self._problems.add_line(node.start_mark.line + 1, text, "syntax", ())
            node.tag = "tag:yaml.org,2002:str"
            return node.value

    def _rename(self, key_node: Node, value_node: Node, path: KeyPath) -> None:
        above = (*self._key, *path)
        if isinstance(key_node, ScalarNode):
            key_node.value = current_key(above, key_node.value)
            if isinstance(value_node, ScalarNode):
                value_node.value = current_value((*above, key_node.value), value_node.value)

    def _add_duplicate(self, path: KeyPath, line: int, first_line: int) -> None:
        text = f"duplicate key '{'.'.join(path)}'"
        if self._is_option:
            self._problems.add((), text, "duplicate_key", key=path)
        else:
            text = f"{text}; it stands on line {first_line} already"
            self._problems.add_line(line, text, "duplicate_key", path)

    def _refuse(self, node: Node, text: str) -> None:
        raise ComposerError(None, None, text, node.start_mark)
